"""A recording as it was understood: images, presentations, spikes around the onset, drift, and what was left out."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from v4egg.evaluation.tables.recording import table as table
from v4egg.figures import style, tiles
from v4egg.images.names import IMAGE_FILES
from v4egg.recordings.presentations import count_presentations, recording_trials
from v4egg.recordings.recording import Recording, load_recording

IMAGES, ROWS = 12, 2  # of the contact sheet
RASTER = 150  # presentations in a raster
SPAN = (-0.1, 0.4)  # s around the onset
BLUE, ORANGE = "#0072B2", "#D55E00"
_PANELS = 1.75  # inches
_LINE, _LINES = 0.11, 8  # inches of a line of text, and how many there are at most
_COLUMNS = 4  # panels in a row
_NAME = 6  # letters of an image's name


@style.styled
def draw(numbers: pd.DataFrame, recording: str | Path, window: Sequence[float]) -> Figure:
    """Draw the session.

    Args:
        numbers: the table of :func:`table`.
        recording: the store that the table is of, for its images and spikes.
        window: start and stop of the response window, s after the onset.
    """
    loaded = load_recording(recording)
    units = _of(numbers, "shown").sort_values("index")["unit"].tolist()
    words = _words(numbers)
    below = 0.15 + _LINE * len(words)
    figure = tiles.sheet(_contact_sheet(loaded), (), _PANELS * (3 if units else 1) + below)
    summary = _row(figure, 4 if units else 2, below)
    _draw_repeats(summary[0], numbers)
    _draw_reliability(summary[1], numbers)
    lettered = summary
    if units:
        _draw_drift(summary[2], numbers)
        _draw_refractory(summary[3], numbers)
        curves, rasters = _row(figure, len(units), below + _PANELS), _row(figure, len(units), below + 2 * _PANELS)
        for unit, curve, raster in zip(units, curves, rasters, strict=True):
            _draw_raster(raster, loaded, unit, window)
            _draw_psth(curve, numbers, unit, window)
        rasters[0].set_ylabel("presentation")
        curves[0].set_ylabel("spikes/s")
        lettered = [rasters[0], curves[0], *summary]
    for panel, letter in zip(lettered, "bcdefgh", strict=False):
        style.panel_letter(panel, letter, -34)
    place = 0.4 / style.WIDTH, below / figure.get_size_inches()[1]
    figure.text(*place, "\n".join(words), fontsize=style.SMALL, va="top")
    return figure


def _row(figure: Figure, panels: int, rise: float) -> list[Axes]:
    """The first panels of a row of four."""
    axes = tiles.panels(figure, _PANELS, [1.0] * _COLUMNS, rise)
    for unused in axes[panels:]:
        unused.remove()
    return axes[:panels]


def _of(numbers: pd.DataFrame, measure: str) -> pd.DataFrame:
    return numbers[numbers["measure"] == measure]


def _per_unit(numbers: pd.DataFrame, measure: str) -> np.ndarray:
    rows = _of(numbers, measure)
    values: np.ndarray = rows[rows["statistic"] == "unit"]["value"].to_numpy(float)
    return values


def _contact_sheet(recording: Recording) -> list[tiles.Row]:
    """The first images, each with its name and number of presentations as they were understood."""
    presentations = count_presentations(recording)
    first = range(min(len(recording.images), IMAGES * ROWS))
    notes = [f"{_short(recording.image_ids[i])} ×{presentations[i]}" for i in first]
    pictures = [recording.images[i] / 255 for i in first]
    rows = []
    for start in range(0, len(pictures), IMAGES):
        part = slice(start, start + IMAGES)
        label = f"{recording.session}\nfirst\nimages" if start == 0 else ""
        rows.append(tiles.Row(label, pictures[part], notes[part]))
    return rows


def _short(name: str) -> str:
    """The end of a name without the suffix of its file, which tells images apart."""
    name = name.removesuffix(Path(name).suffix) if name.lower().endswith(IMAGE_FILES) else name
    return name if len(name) <= _NAME else f"…{name[-(_NAME - 1) :]}"


def _draw_raster(axes: Axes, recording: Recording, unit: str, window: Sequence[float]) -> None:
    onsets = np.sort(recording_trials(recording)["onset"].to_numpy(float))
    onsets = onsets[np.unique(np.linspace(0, len(onsets) - 1, RASTER).astype(int))]
    times = np.asarray(recording.spikes[unit], float) if recording.spikes is not None else np.empty(0)
    rows = [times[np.searchsorted(times, t + SPAN[0]) : np.searchsorted(times, t + SPAN[1])] - t for t in onsets]
    x = np.concatenate(rows) if rows else np.empty(0)
    y = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    axes.axvspan(*window, color=style.LIGHT, alpha=0.5, linewidth=0)
    axes.scatter(x, y, s=0.6, color=style.BLACK, linewidths=0, rasterized=True)
    axes.set(xlim=SPAN, ylim=(len(rows), -1), title=unit, xticks=[0, 0.2, 0.4])


def _draw_psth(axes: Axes, numbers: pd.DataFrame, unit: str, window: Sequence[float]) -> None:
    rows = numbers[numbers["unit"] == unit]
    curve = rows[rows["measure"] == "psth"]
    values = dict(zip(rows["measure"], rows["value"].astype(float), strict=True))
    axes.axvspan(*window, color=style.LIGHT, alpha=0.5, linewidth=0)
    axes.plot(curve["index"].astype(float), curve["value"], color=style.BLACK)
    latency, start, stop = (values[name] for name in ("latency", "window_start", "window_stop"))
    if np.isfinite(latency):
        axes.axvline(latency, color=ORANGE, linewidth=0.8)
        axes.plot([start, stop], [axes.get_ylim()[1]] * 2, color=BLUE, linewidth=2, clip_on=False)
        axes.set_title(f"latency {1000 * latency:.0f} ms\nsuggested {1000 * start:.0f}-{1000 * stop:.0f} ms")
    else:
        axes.set_title("no response\n")
    axes.set(xlim=SPAN, xlabel="s after the onset", xticks=[0, 0.2, 0.4])
    axes.set_ylim(bottom=0)


def _draw_repeats(axes: Axes, numbers: pd.DataFrame) -> None:
    rows = _of(numbers, "repeats")
    axes.bar(rows["index"].astype(int), rows["value"], color=BLUE, width=0.8)
    sizes = {name: float(_of(numbers, name)["value"].iloc[0]) for name in ("images", "presentations")}
    axes.set(xlabel="presentations of an image", ylabel="images")
    axes.set_title(f"{sizes['images']:.0f} images,\n{sizes['presentations']:.0f} presentations")
    axes.set_xlim(rows["index"].astype(int).min() - 1, rows["index"].astype(int).max() + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def _draw_reliability(axes: Axes, numbers: pd.DataFrame) -> None:
    values, selected = _per_unit(numbers, "reliability"), _per_unit(numbers, "selected") > 0
    axes.set_title(f"{selected.sum()} of {len(selected)} units selected\n")
    axes.set(xlabel="split-half reliability", ylabel="units")
    if not np.isfinite(values).any():
        axes.text(0.5, 0.5, "no repeats", transform=axes.transAxes, ha="center", color=style.GREY)
        axes.set(xticks=[], yticks=[])
        return
    edges = np.linspace(min(0.0, np.nanmin(values)), 1, 21)
    parts = [values[selected & np.isfinite(values)], values[~selected & np.isfinite(values)]]
    axes.hist(parts, bins=list(edges), stacked=True, color=[BLUE, style.LIGHT], label=["selected", "left out"])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.legend(loc="upper left")


def _draw_drift(axes: Axes, numbers: pd.DataFrame) -> None:
    rows = _of(numbers, "drift")
    wide = rows[rows["unit"] == ""].pivot(index="index", columns="statistic", values="value").sort_index()
    x = wide.index.astype(int)
    axes.fill_between(x, wide["q25"], wide["q75"], color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(x, wide["median"], color=BLUE)
    axes.set(xlabel="tenth of the session", ylabel="spikes/s", xticks=[1, 5, 10])
    axes.set_ylim(bottom=0)
    axes.set_title("rate over the session\n(median, quartiles of units)")


def _draw_refractory(axes: Axes, numbers: pd.DataFrame) -> None:
    values = 100 * _per_unit(numbers, "refractory_violations")
    values = values[np.isfinite(values)]
    axes.hist(values, bins=list(np.linspace(0, max(5.0, values.max(initial=0.0)), 21)), color=BLUE)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set(xlabel="intervals below 1.5 ms (%)", ylabel="units")
    axes.set_title("refractory violations\n")
    axes.set_xlim(left=0)


def _words(numbers: pd.DataFrame) -> list[str]:
    """What was left out, and what to look at, as lines of text."""
    rows = _of(numbers, "left_out")
    left_out = [f"{n:.0f} presentations left out: {why}" for n, why in zip(rows["value"], rows["index"], strict=True)]
    texts = [*left_out, *_of(numbers, "warning")["index"]]
    lines = [line for text in texts for line in textwrap.wrap(str(text), 130, subsequent_indent="   ")]
    more = [f"and {len(lines) - _LINES} more lines in the log of read_recording"] if len(lines) > _LINES else []
    return lines[:_LINES] + more or ["Nothing was left out, and there is nothing to look at."]
