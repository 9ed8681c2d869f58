"""What one unit of each set of compact models is tuned to: the best probe of each stimulus class, and curves.

The unit shown is the one of the highest dot index, see :mod:`v4egg.compact.dot_detector`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from v4egg.compact.dot_detector import best_dot_detector, dot_scores
from v4egg.compact.probes import render
from v4egg.compact.tuning import curve, responses_above_grey, table_of
from v4egg.errors import V4eggError
from v4egg.figures import style
from v4egg.figures.tiles import draw_image
from v4egg.io import stores

_HEIGHT = 2.9  # inches a unit
_SIDE = 112  # px of the probes that are shown
_CURVES = (
    ("dot", ["size", "polarity"]),
    ("dots", ["size", "polarity"]),
    ("grating", ["orientation", "frequency"]),
    ("contour", ["curvature", "orientation"]),
    ("texture", ["orientation", "frequency"]),
    ("dot", ["x", "y"]),
    ("colour", ["hue", "size"]),
)
_AXES = {"x": "x", "y": "y", "orientation": "orientation (\u00b0)", "frequency": "cycles an image"}
_POLARITY = {1.0: (style.LIGHT, "white"), -1.0: (style.BLACK, "black")}


def table(tuning: Sequence[str | Path]) -> pd.DataFrame:
    """Responses above that to grey, one a row: of all units the best of each stimulus class, of those shown the curves.

    Columns: models, session, unit, stimulus_class, probe (of the best), parameters, their values first and second,
    response.
    """
    parts = []
    for data in _read(tuning):
        head = {"models": data.attrs["models"], "session": data.attrs["session"]}
        parts.append(_best(data).assign(**head))
        example = data.sel(unit=[best_dot_detector(dot_scores(data))])
        for stimulus_class, parameters in _CURVES:
            names = dict(zip(parameters, ("first", "second"), strict=True))
            found = curve(example, stimulus_class, parameters).rename(columns=names)
            parts.append(found.assign(stimulus_class=stimulus_class, parameters=" and ".join(parameters), **head))
    columns = ["models", "session", "unit", "stimulus_class", "probe", "parameters", "first", "second", "response"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


@style.styled
def draw(tuning: Sequence[str | Path]) -> Figure:
    """The figure."""
    found = _read(tuning)
    figure = style.new_figure(_HEIGHT * len(found))
    blocks = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for block, data in zip(blocks, found, strict=True):
        _draw_unit(block, data.sel(unit=[best_dot_detector(dot_scores(data))]))
    return figure


def _read(paths: Sequence[str | Path]) -> list[xr.Dataset]:
    if not paths:
        raise V4eggError("tuning: no session with targets has these compact models; see circuits.models")
    return [stores.load(path, "tuning").load() for path in paths]


def _best(data: xr.Dataset) -> pd.DataFrame:
    """A row for each unit and stimulus class: its best probe and the response to it."""
    probes, response = table_of(data), responses_above_grey(data)
    rows = []
    for stimulus_class in [name for name in probes["stimulus_class"].unique() if name != "grey"]:
        places = np.flatnonzero(probes["stimulus_class"] == stimulus_class)
        best = places[response[:, places].argmax(1)]
        for unit, place, values in zip(data["unit"].values.astype(str), best, response, strict=True):
            rows.append((unit, stimulus_class, probes.index[place], values[place]))
    return pd.DataFrame(rows, columns=["unit", "stimulus_class", "probe", "response"])


def _draw_unit(block: SubFigure, data: xr.Dataset) -> None:
    best = _best(data)
    above, below = block.subfigures(2, 1, height_ratios=(1.0, 1.5))
    unit = str(data["unit"].values[0])
    above.suptitle(f"{unit}, {style.label(data.attrs['models'])}: best probe of each stimulus class", x=0.01, ha="left")
    images = render(table_of(data).loc[best["probe"]], _SIDE).numpy()
    for axes, image, row in zip(above.subplots(1, len(best)), images, best.itertuples(), strict=True):
        draw_image(axes, image)
        axes.set_aspect("equal")
        axes.set_title(f"{row.stimulus_class} {style.number(row.response)}")
    panels = below.subplots(1, 5, width_ratios=(1.1, 1.1, 1, 0.8, 1.1))
    _draw_sizes(panels[0], data)
    _draw_shapes(panels[1], data)
    _draw_map(panels[2], curve(data, "grating", ["frequency", "orientation"]), "gratings")
    _draw_map(panels[3], curve(data, "dot", ["y", "x"]), "dots by place")
    _draw_hues(panels[4], data)


def _draw_sizes(axes: Axes, data: xr.Dataset) -> None:
    for stimulus_class, line in (("dot", "--"), ("dots", "-")):
        for polarity, rows in curve(data, stimulus_class, ["polarity", "size"]).groupby("polarity"):
            colour, name = _POLARITY[polarity]
            label = f"{name} {'array' if stimulus_class == 'dots' else 'single'}"
            axes.plot(rows["size"] * 100, rows["response"], line, color=colour, label=label)
    axes.axhline(0, color=style.LIGHT, linewidth=0.5, zorder=0)
    axes.set(xlabel="diameter (% of side)", ylabel="response above grey", title="dots by size")
    axes.legend(fontsize=4.5, handlelength=3, borderpad=0.1)


def _draw_shapes(axes: Axes, data: xr.Dataset) -> None:
    for curvature, rows in curve(data, "contour", ["curvature", "orientation"]).groupby("curvature"):
        label = "curved" if curvature else "straight"
        axes.plot(rows["orientation"], rows["response"], "o-", markersize=2, label=label)
    rows = curve(data, "texture", ["orientation"])
    axes.plot(rows["orientation"], rows["response"], "o-", color=style.GREY, markersize=2, label="texture")
    axes.set(xlabel="orientation (\u00b0)", title="contours, textures", xticks=(0, 90, 180, 270))
    axes.legend(fontsize=4.5, handlelength=1.5, borderpad=0.1)


def _draw_map(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    vertical, horizontal = rows.columns[1:3]
    grid = rows.pivot(index=vertical, columns=horizontal, values="response")
    largest = max(float(np.abs(grid.to_numpy()).max()), 1e-6)
    shown = axes.imshow(grid, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    axes.set(xlabel=_AXES[horizontal], ylabel=_AXES[vertical], title=title)
    axes.set_xticks(range(grid.shape[1])[::2], [f"{value:g}" for value in grid.columns[::2]])
    axes.set_yticks(range(grid.shape[0]), [f"{value:g}" for value in grid.index])
    axes.figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)


def _draw_hues(axes: Axes, data: xr.Dataset) -> None:
    rows = curve(data, "colour", ["hue"])
    images = render(pd.DataFrame([{"stimulus_class": "colour", "hue": hue, "size": 2.0} for hue in rows["hue"]]), 1)
    axes.plot(rows["hue"], rows["response"], color=style.LIGHT, zorder=0)
    axes.scatter(rows["hue"], rows["response"], color=images[:, :, 0, 0].numpy(), s=14, edgecolors=style.GREY, lw=0.3)
    axes.axhline(0, color=style.LIGHT, linewidth=0.5, zorder=0)
    axes.set(xlabel="hue (\u00b0)", title="colours", xticks=(0, 120, 240))
