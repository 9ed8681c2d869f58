"""The dot detector among compact models: how it was found, and the circuit that makes it one.

One block per set of models: (a) the dot index of all units, (b) of the best unit's filters by layer, (c) its circuit
from the image on, (d) what is left of its preference without the filters that it needs most, and without drawn ones.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator

from v4egg.compact.circuits import LAYERS
from v4egg.compact.probes import probe_of, render
from v4egg.evaluation.tables.dot_detector import table as table
from v4egg.figures import style
from v4egg.figures.tiles import draw_image
from v4egg.io import stores

_EXCITES, _INHIBITS = "#D55E00", "#0072B2"
_HEIGHT = 5.2  # inches per block
_THICKEST = 2.5  # points, of the strongest line into a filter


@style.styled
def draw(numbers: pd.DataFrame, detectors: Sequence[str | Path]) -> Figure:
    """Draw the figure.

    Args:
        numbers: The table of :func:`table`.
        detectors: The stores that the table is of, for the maps of the filters and what flows between them.
    """
    figure = style.new_figure(_HEIGHT * len(detectors))
    blocks = figure.subfigures(len(detectors), 1, squeeze=False)[:, 0]
    for block, path in zip(blocks, detectors, strict=True):
        data = stores.load(path, "dot_detector").load()
        model_source, unit = data.attrs["model_source"], data.attrs["unit"]
        rows = numbers[numbers["model_source"] == model_source]
        above, middle, below = block.subfigures(3, 1, height_ratios=(1.2, 1.9, 1.1))
        search, layers = above.subplots(1, 2, width_ratios=(1.5, 1))
        _draw_search(search, rows, unit, model_source)
        _draw_layers(layers, rows[rows["unit"] == unit])
        style.panel_letter(search, "a", -28)
        style.panel_letter(layers, "b", -28)
        _draw_circuit(middle, rows[rows["unit"] == unit], data)
        _draw_ablations(below, rows[rows["unit"] == unit])
    return figure


def _draw_search(axes: Axes, rows: pd.DataFrame, unit: str, model_source: str) -> None:
    index = rows[rows["measure"] == "dot_index"].set_index("unit")["value"].sort_values(ascending=False)
    colours = [_EXCITES if name == unit else style.GREY for name in index.index]
    axes.scatter(range(len(index)), index, color=colours, s=7, linewidths=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.annotate(unit, (0, index.iloc[0]), (6, -1), textcoords="offset points", fontsize=style.SMALL)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    count = rows[rows["unit"] == ""].set_index("measure")["value"]
    axes.set(xlabel=f"units, {style.label(model_source)}", ylabel="dot index", ylim=(-1.08, 1.08))
    title = f"{count['n_prefer_dots']:.0f} of {count['n_units']:.0f} respond to dots more than to anything else"
    axes.set_title(title, loc="left")


def _draw_layers(axes: Axes, rows: pd.DataFrame) -> None:
    """The preference is made on the way: dot index of filters by layer, those of the circuit in colour."""
    indices = rows[rows["measure"] == "filter_index"].set_index(["layer", "filter"])["value"]
    chosen = rows[rows["measure"] == "shown"]
    for layer in LAYERS:
        style.strip(axes, layer, indices[layer].to_numpy(), style.LIGHT, ("dot filters", layer), 0.5)
        values = indices[layer].reindex(chosen.loc[chosen["layer"] == layer, "filter"])
        axes.plot([layer] * len(values), values, "o", color=_EXCITES, markersize=3, markeredgewidth=0)
    best = _value(rows, "dot_index")
    axes.plot([len(LAYERS)], [best], "D", color=style.BLACK, markersize=3.5)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set_xticks([*LAYERS, len(LAYERS)], [*map(str, LAYERS), "unit"])
    axes.set(xlabel="layer", ylabel="dot index of filters", ylim=(-1.08, 1.08))


def _draw_circuit(block: SubFigure, rows: pd.DataFrame, data: xr.Dataset) -> None:
    """The dot and the rival; in each layer the filters of the largest contribution, as maps of the dot; what flows."""
    grid = block.subplots(data.sizes["shown"], 2 + len(LAYERS), squeeze=False)
    images = render(probe_of([data.attrs["dot"], data.attrs["rival"]]), data.sizes["x"]).numpy()
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, (image, name) in enumerate(zip(images, ("best dot", "best rival"), strict=True)):
        draw_image(grid[row, 0], image)
        grid[row, 0].set_aspect("equal")
        grid[row, 0].set_title(name, fontsize=style.SMALL, pad=2)
    share_lost = rows[rows["measure"] == "share_lost"].set_index(["layer", "filter"])["value"]
    boxes = {}
    filters = rows.loc[rows["measure"] == "shown", ["layer", "value", "filter"]].astype(int)
    for layer, place, index in filters.to_numpy():
        top = max(float(np.nanmax(data["map"].values[layer], initial=0)), 1e-9)
        axes = boxes[layer, place] = grid[place, 1 + layer]
        axes.imshow(data["map"].values[layer, place, 0], cmap="gray", vmin=0, vmax=top, interpolation="nearest")
        title = f"{f'layer {layer}, ' if not place else ''}#{index}: {100 * share_lost[layer, index]:.0f}%"
        axes.set_title(title.replace("-", "\u2212"), fontsize=5, pad=2)
    _draw_flow(block, boxes, data)
    response = _value(rows, "dot_response")
    text = f"response\n{style.number(response)}\nabove grey"
    grid[0, -1].text(0, 0.5, text, va="center", fontsize=style.SMALL)
    block.text(0.005, 0.99, "c", fontsize=style.BASE + 2, fontweight="bold", va="top")


def _value(rows: pd.DataFrame, measure: str) -> float:
    """The only number of a measure."""
    return float(rows.loc[rows["measure"] == measure, "value"].iloc[0])


def _draw_flow(block: SubFigure, boxes: dict[tuple[int, int], Axes], data: xr.Dataset) -> None:
    for (layer, place), axes in boxes.items():
        flow = data["flow"].values[layer, place]
        strongest = np.nanmax(np.abs(flow), initial=0)
        for source, value in enumerate(flow):
            if not np.isfinite(value) or strongest == 0 or (layer - 1, source) not in boxes:
                continue
            line: style.Look = {
                "linewidth": _THICKEST * abs(value) / strongest,
                "color": _EXCITES if value > 0 else _INHIBITS,
            }
            ends: style.Look = {
                "coordsA": "axes fraction",
                "coordsB": "axes fraction",
                "axesA": boxes[layer - 1, source],
            }
            block.add_artist(ConnectionPatch((1.02, 0.5), (-0.02, 0.5), axesB=axes, **ends, **line))


def _draw_ablations(block: SubFigure, rows: pd.DataFrame) -> None:
    panels = block.subplots(1, len(LAYERS), sharey=True)
    selectivity = rows[rows["measure"].isin(("ablated", "random_low", "random_median", "random_high"))]
    removed = sorted(int(number) for number in rows["removed"].dropna().unique())
    for layer, axes in zip(LAYERS, panels, strict=True):
        wide = selectivity[selectivity["layer"] == layer].pivot(index="removed", columns="measure", values="value")
        if not wide.empty:
            axes.fill_between(wide.index, wide["random_low"], wide["random_high"], color=style.LIGHT, alpha=0.5, lw=0)
            axes.plot(wide.index, wide["random_median"], "o-", color=style.GREY, markersize=2.5, label="drawn")
            axes.plot(wide.index, wide["ablated"], "o-", color=_EXCITES, markersize=2.5, label="needed most")
        axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
        if removed:
            axes.set_xscale("log", base=2)
            axes.set_xlim(removed[0] / 1.3, removed[-1] * 1.3)
            axes.set_xticks(removed, [str(number) for number in removed])
        axes.minorticks_off()
        axes.set(title=f"layer {layer}", xlabel="filters removed")
    values = np.append(selectivity["value"], [0, 1])
    panels[0].set_ylim(max(values.min(), -3) - 0.1, min(values.max(), 2) + 0.15)
    if _value(rows, "selectivity") <= 0:
        note: style.Look = {"transform": panels[2].transAxes, "ha": "center", "va": "center", "color": style.GREY}
        panels[2].text(0.5, 0.5, "prefers a rival:\nno preference to lose", fontsize=style.SMALL, **note)
    panels[0].set_ylabel("dot selectivity left\n(1: intact)")
    if not selectivity.empty:
        panels[0].legend(fontsize=5, borderpad=0.1)
    style.panel_letter(panels[0], "d", -28)
