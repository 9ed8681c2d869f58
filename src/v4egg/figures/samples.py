"""Unguided samples of the prior beside crops of the pool, and in which statistics the two differ."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.tables.samples import table as table
from v4egg.figures import style, tiles
from v4egg.io import stores

COLUMNS, ROWS = 12, 2
SETS = {"sample": "#0072B2", "crop": style.BLACK}
NAMES = {"sample": "samples", "crop": "crops"}
_MEASURES = {"spectrum_slope": "slope of the spectrum", "contrast": "contrast (sd)"}
_PANELS = 2.4  # inches


@style.styled
def draw(numbers: pd.DataFrame, samples: str | Path) -> Figure:
    """Draw samples, crops, their spectra, slopes and contrasts, and the Fréchet distance beside that of equal sets.

    Args:
        numbers: The table of :func:`table`.
        samples: The store that the table is of, for its images.
    """
    store = stores.load(samples, "samples")
    rows = []
    for name in SETS:
        excerpt = list(store[name][: COLUMNS * ROWS].values)
        parts = [excerpt[i : i + COLUMNS] for i in range(0, len(excerpt), COLUMNS)]
        rows += [tiles.Row(NAMES[name] if part is parts[0] else "", part, colour=SETS[name]) for part in parts]
    figure = tiles.sheet(rows, (), _PANELS)
    axes = tiles.panels(figure, _PANELS, [1.6, 1.0, 1.0, 1.0])
    _draw_spectra(axes[0], numbers[numbers["measure"] == "power"])
    for panel, measure in zip(axes[1:3], _MEASURES, strict=True):
        _draw_measure(panel, numbers[numbers["measure"] == measure], measure)
    _draw_distances(axes[3], numbers[numbers["measure"] == "frechet_distance"])
    for panel, letter in zip(axes, "bcde", strict=True):
        style.panel_letter(panel, letter, -34)
    return figure


def _draw_spectra(axes: Axes, power: pd.DataFrame) -> None:
    for (name,), rows in style.groups(power, "set"):
        wide = rows.pivot(index="index", columns="statistic", values="value")
        x = wide.index.astype(int)
        axes.fill_between(x, wide["q25"], wide["q75"], color=SETS[name], alpha=0.2, linewidth=0)
        axes.plot(x, wide["median"], color=SETS[name], label=NAMES[name])
    axes.set(yscale="log", xlabel="cycles per image", ylabel="power of the luminance")
    style.plain_log(axes.xaxis)
    axes.legend(loc="lower left")


def _draw_measure(axes: Axes, rows: pd.DataFrame, measure: str) -> None:
    ticks = []
    for x, name in enumerate(SETS):
        statistics = rows[rows["set"] == name].set_index("statistic")["value"]
        style.strip(axes, x, statistics[["image"]].to_numpy(), SETS[name], (_MEASURES[measure], name), 0.5)
        axes.plot([x - 0.3, x + 0.3], [statistics["median"]] * 2, color=style.BLACK, linewidth=1.4)
        style.number_above(axes, x, statistics["median"], SETS[name])
        ticks.append(f"{NAMES[name]}\n(n = {statistics['n']:.0f})")
    q = rows.set_index("statistic")["value"].get("p_adjusted")
    if q is not None:
        axes.set_title(style.q_value(q), pad=13)
    axes.set_xticks(range(len(SETS)), ticks)
    axes.set_xlim(-0.6, len(SETS) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(_MEASURES[measure])


def _draw_distances(axes: Axes, rows: pd.DataFrame) -> None:
    distances = rows.set_index("statistic")["value"][["to_crops", "between_crops"]]
    axes.bar(range(2), distances, color=list(SETS.values()), width=0.55)
    for x, value in enumerate(distances):
        axes.text(x, value, f"{value:.3g}", ha="center", va="bottom", fontsize=style.SMALL)
    axes.set_xticks(range(2), ["samples\nto crops", "crops\nto crops"])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("Fréchet distance")
