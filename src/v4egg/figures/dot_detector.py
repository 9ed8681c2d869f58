"""The dot detector among compact models: how it was found, and the circuit that makes it one.

A block for each set of models: (a) the dot index of all units, (b) of the best unit's filters by layer, (c) its circuit
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

from v4egg.compact.circuits import LAYERS
from v4egg.compact.probes import probe_of, render
from v4egg.errors import V4eggError
from v4egg.figures import style
from v4egg.figures.tiles import draw_image
from v4egg.io import stores

_EXCITES, _INHIBITS = "#D55E00", "#0072B2"
_HEIGHT = 5.2  # inches a block
_THICKEST = 2.5  # points, of the strongest line into a filter


def table(detectors: Sequence[str | Path]) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: models, measure, unit, layer, filter, removed, draw, value. Of all units ``dot_index``, ``dot_response``,
    ``rival_response``; of the best one, by filter ``contribution``, ``rival_contribution``, ``filter_index``, and by
    number of removed filters ``ablated``, ``ablated_random`` (a draw each) and ``share_below``, of random draws that
    leave less than the chosen filters do.
    """
    parts = []
    for data in _read(detectors):
        names = ["dot_index", "dot_response", "rival_response"]
        frames = [data[name].to_series().rename("value").reset_index().assign(measure=name) for name in names]
        names = ["contribution", "rival_contribution", "filter_index", "ablated", "ablated_random"]
        own = [data[name].to_series().rename("value").reset_index().assign(measure=name) for name in names]
        below = (data["ablated_random"] < data["ablated"]).where(data["ablated"].notnull()).mean("draw")
        own.append(below.to_series().rename("value").reset_index().assign(measure="share_below"))
        own = [frame.assign(unit=data.attrs["unit"]) for frame in own]
        parts.append(pd.concat([*frames, *own]).assign(models=data.attrs["models"]).dropna(subset="value"))
    columns = ["models", "measure", "unit", "layer", "filter", "removed", "draw", "value"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


@style.styled
def draw(detectors: Sequence[str | Path]) -> Figure:
    """The figure."""
    found = _read(detectors)
    figure = style.new_figure(_HEIGHT * len(found))
    for block, data in zip(figure.subfigures(len(found), 1, squeeze=False)[:, 0], found, strict=True):
        above, middle, below = block.subfigures(3, 1, height_ratios=(1.2, 1.9, 1.1))
        search, layers = above.subplots(1, 2, width_ratios=(1.5, 1))
        _draw_search(search, data)
        _draw_layers(layers, data)
        style.panel_letter(search, "a", -28)
        style.panel_letter(layers, "b", -28)
        _draw_circuit(middle, data)
        _draw_ablations(below, data)
    return figure


def _read(paths: Sequence[str | Path]) -> list[xr.Dataset]:
    if not paths:
        raise V4eggError("dot detector: no stores are given; name compact models under circuits.models")
    return [stores.load(path, "dot_detector").load() for path in paths]


def _draw_search(axes: Axes, data: xr.Dataset) -> None:
    index = data["dot_index"].to_series().dropna().sort_values(ascending=False)
    colours = [_EXCITES if unit == data.attrs["unit"] else style.GREY for unit in index.index]
    axes.scatter(range(len(index)), index, color=colours, s=7, linewidths=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.annotate(data.attrs["unit"], (0, index.iloc[0]), (6, -1), textcoords="offset points", fontsize=style.SMALL)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    above = int((index > 0).sum())
    axes.set(xlabel=f"units, {style.label(data.attrs['models'])}", ylabel="dot index", ylim=(-1.08, 1.08))
    axes.set_title(f"{above} of {len(index)} respond to dots more than to anything else", loc="left")


def _draw_layers(axes: Axes, data: xr.Dataset) -> None:
    """The preference is made on the way: dot index of filters by layer, those of the circuit in colour."""
    for layer in LAYERS:
        values = data["filter_index"].sel(layer=layer).values
        style.strip(axes, layer, values, style.LIGHT, ("dot filters", layer), 0.5)
        chosen = data["rank"].sel(layer=layer).values
        chosen = chosen[chosen >= 0]
        axes.plot([layer] * len(chosen), values[chosen], "o", color=_EXCITES, markersize=3, markeredgewidth=0)
    own = data["dot_index"].sel(unit=data.attrs["unit"]).item()
    axes.plot([len(LAYERS)], [own], "D", color=style.BLACK, markersize=3.5)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set_xticks([*LAYERS, len(LAYERS)], [*map(str, LAYERS), "unit"])
    axes.set(xlabel="layer", ylabel="dot index of filters", ylim=(-1.08, 1.08))


def _draw_circuit(block: SubFigure, data: xr.Dataset) -> None:
    """The dot and the rival; in each layer the filters of the largest contribution, as maps of the dot; what flows."""
    rank, shown = data["rank"].values, data.sizes["shown"]
    grid = block.subplots(shown, 2 + len(LAYERS), squeeze=False)
    side = data.sizes["x"]
    images = render(probe_of([data.attrs["dot"], data.attrs["rival"]]), side).numpy()
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, (image, name) in enumerate(zip(images, ("best dot", "best rival"), strict=True)):
        draw_image(grid[row, 0], image)
        grid[row, 0].set_aspect("equal")
        grid[row, 0].set_title(name, fontsize=style.SMALL, pad=2)
    boxes = {}
    for layer in LAYERS:
        top = max(float(np.nanmax(data["map"].values[layer], initial=0)), 1e-9)
        for place in range(shown):
            if rank[layer, place] < 0:
                continue
            axes = boxes[layer, place] = grid[place, 1 + layer]
            axes.imshow(data["map"].values[layer, place, 0], cmap="gray", vmin=0, vmax=top, interpolation="nearest")
            lost = data["contribution"].values[layer, rank[layer, place]] / _dot_response(data)
            title = f"{'layer ' + str(layer) + ', ' if not place else ''}#{rank[layer, place]}: {100 * lost:.0f}%"
            axes.set_title(title.replace("-", "\u2212"), fontsize=5, pad=2)
    _draw_flow(block, boxes, data)
    end = grid[0, -1]
    end.text(0, 0.5, f"response\n{style.number(_dot_response(data))}\nabove grey", va="center", fontsize=style.SMALL)
    block.text(0.005, 0.99, "c", fontsize=style.BASE + 2, fontweight="bold", va="top")


def _dot_response(data: xr.Dataset) -> float:
    return float(data["dot_response"].sel(unit=data.attrs["unit"]))


def _draw_flow(block: SubFigure, boxes: dict[tuple[int, int], Axes], data: xr.Dataset) -> None:
    for (layer, place), axes in boxes.items():
        flow = data["flow"].values[layer, place]
        strongest = np.nanmax(np.abs(flow), initial=0)
        for source, value in enumerate(flow):
            if not np.isfinite(value) or strongest == 0 or (layer - 1, source) not in boxes:
                continue
            line = {"linewidth": _THICKEST * abs(value) / strongest, "color": _EXCITES if value > 0 else _INHIBITS}
            ends = {"coordsA": "axes fraction", "coordsB": "axes fraction", "axesA": boxes[layer - 1, source]}
            block.add_artist(ConnectionPatch((1.02, 0.5), (-0.02, 0.5), axesB=axes, **ends, **line))


def _draw_ablations(block: SubFigure, data: xr.Dataset) -> None:
    panels = block.subplots(1, len(LAYERS), sharey=True)
    removed = data["removed"].values
    for layer, axes in zip(LAYERS, panels, strict=True):
        chosen = data["ablated"].sel(layer=layer).values
        drawn = data["ablated_random"].sel(layer=layer).values
        known = np.isfinite(chosen)
        axes.fill_between(removed[known], drawn[known].min(1), drawn[known].max(1), color=style.LIGHT, alpha=0.5, lw=0)
        axes.plot(removed[known], np.median(drawn[known], 1), "o-", color=style.GREY, markersize=2.5, label="drawn")
        axes.plot(removed[known], chosen[known], "o-", color=_EXCITES, markersize=2.5, label="needed most")
        axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
        axes.set_xscale("log", base=2)
        axes.set_xlim(removed[0] / 1.3, removed[-1] * 1.3)
        axes.set_xticks(removed, [str(number) for number in removed])
        axes.minorticks_off()
        axes.set(title=f"layer {layer}", xlabel="filters removed")
    left = np.concatenate([data[name].values.ravel() for name in ("ablated", "ablated_random")])
    left = np.append(left[np.isfinite(left)], [0, 1])
    panels[0].set_ylim(max(left.min(), -3) - 0.1, min(left.max(), 2) + 0.15)
    if data.attrs["selectivity"] <= 0:
        note = {"transform": panels[2].transAxes, "ha": "center", "va": "center", "color": style.GREY}
        panels[2].text(0.5, 0.5, "prefers a rival:\nno preference to lose", fontsize=style.SMALL, **note)
    panels[0].set_ylabel("dot selectivity left\n(1: intact)")
    panels[0].legend(fontsize=5, borderpad=0.1)
    style.panel_letter(panels[0], "d", -28)
