"""XDream's experiment: how an evolved image comes to excite a neuron more than the best natural image.

(a) Activation over presentations, relative to the best natural image, and (b) the final relative activation of each
neuron, under each condition. All activations are noiseless, also where the scores that were told had noise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.figures import style
from v4egg.io import stores

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", style.BLACK)
_BANDS = 4  # conditions up to which quartiles are drawn: more would hide one another
_BESIDE = 10  # columns up to which the panels are side by side
_CROWDED = 20  # columns beyond which the numbers above them would touch
_QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def table(conditions: Sequence[str | Path]) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: condition, measure (``evolved_over_natural``, ``mean_activation``), statistic (``neuron``; over neurons
    ``median``, ``q25``, ``q75``, ``share_above_1``), group, neuron, presentations, value. ``mean_activation`` is that
    of the images of a round, over the best natural image's; a quartile of it is over neurons.

    Raises:
        V4eggError: there is no store.
    """
    parts = []
    for name, data in _read(conditions).items():
        final = data["evolved_over_natural"].to_series().dropna()
        groups = data["group"].to_series()
        head = {"condition": name, "measure": "evolved_over_natural"}
        each = pd.DataFrame({"neuron": final.index, "group": groups[final.index].values, "value": final.values})
        parts.append(each.assign(**head, statistic="neuron"))
        for group, values in [("", final), *final.groupby(groups[final.index])]:
            statistics = {key: values.quantile(q) for key, q in _QUARTILES.items()}
            statistics["share_above_1"] = (values > 1).mean() if len(values) else np.nan
            rows = [{**head, "group": group, "statistic": key, "value": value} for key, value in statistics.items()]
            parts.append(pd.DataFrame(rows))
        parts.append(_curves(data).assign(condition=name, measure="mean_activation"))
    columns = ["condition", "measure", "statistic", "group", "neuron", "presentations", "value"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


@style.styled
def draw(conditions: Sequence[str | Path]) -> Figure:
    """The figure. Raises as :func:`table`."""
    names = list(_read(conditions))
    numbers = table(conditions)
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    dashes = {name: "-" if i < len(_COLOURS) else "--" for i, name in enumerate(names)}
    columns = numbers[numbers["statistic"] == "neuron"].groupby(["condition", "group"], sort=False).ngroups
    if columns <= _BESIDE:
        figure = style.new_figure(3.1)
        axes = figure.subplots(1, 2, width_ratios=[1.0, max(0.8, 0.22 * columns)])
    else:
        figure = style.new_figure(5.6)
        axes = figure.subplots(2, 1)
    _draw_curves(axes[0], numbers[numbers["measure"] == "mean_activation"], colours, dashes)
    _draw_final(axes[1], numbers[numbers["measure"] == "evolved_over_natural"], colours)
    for panel, letter in zip(axes, "ab", strict=True):
        panel.axhline(1, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
        style.panel_letter(panel, letter, -28)
    handles = [axes[0].plot([], [], dashes[n], color=c, label=style.label(n))[0] for n, c in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))
    return figure


def _read(conditions: Sequence[str | Path]) -> dict[str, xr.Dataset]:
    if not conditions:
        raise V4eggError("evolution: no stores are given; name conditions under evolution.conditions")
    loaded = [stores.load(path, "evolution").load() for path in conditions]
    return {str(data.attrs["condition"]): data for data in loaded}


def _curves(data: xr.Dataset) -> pd.DataFrame:
    """Quartiles over neurons of the noiseless activation by presentations; rounds of missing scores are left out."""
    natural = data["natural"].where(data["natural"] > 0)
    relative = (data["noiseless"] / natural).transpose("round", "neuron").values
    presentations = data["presentations"].transpose("round", "neuron").values.max(1)
    rows = []
    for shown, values in zip(presentations, relative, strict=True):
        values = values[np.isfinite(values)]
        rows += [(key, shown, np.quantile(values, q)) for key, q in _QUARTILES.items() if values.size]
    return pd.DataFrame(rows, columns=["statistic", "presentations", "value"])


def _draw_curves(axes: Axes, curves: pd.DataFrame, colours: dict[str, str], dashes: dict[str, str]) -> None:
    for name, rows in curves.groupby("condition", sort=False):
        wide = rows.pivot(index="presentations", columns="statistic", values="value")
        if len(colours) <= _BANDS:
            axes.fill_between(wide.index, wide["q25"], wide["q75"], color=colours[name], alpha=0.15, linewidth=0)
        marker = "o" if len(wide) == 1 else None
        axes.plot(wide.index, wide["median"], dashes[name], color=colours[name], marker=marker, markersize=3)
    axes.set_xlabel("presentations")
    axes.set_ylabel("mean activation of a generation\n(1: best natural image)")
    axes.set_xlim(left=0)


def _draw_final(axes: Axes, final: pd.DataFrame, colours: dict[str, str]) -> None:
    """A column for each condition, or for each of its groups where there are several."""
    each = final[final["statistic"] == "neuron"]
    turn = 60 if each.groupby(["condition", "group"]).ngroups > _CROWDED else 0
    labels = []
    for name in colours:
        groups = each[each["condition"] == name].groupby("group", sort=False)
        for group, rows in groups:
            place = len(labels)
            style.strip(axes, place, rows["value"].to_numpy(), colours[name], ("evolution", name, group), 0.5)
            median = rows["value"].median()
            axes.plot([place - 0.35, place + 0.35], [median, median], color=style.BLACK, linewidth=1.4)
            style.number_above(axes, place, median, rotation=turn)
            labels.append(_column(name, str(group), groups.ngroups))
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(labels) > 3 else {}
    axes.set_xticks(range(len(labels)), labels, **slanted)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("relative activation\n(evolved over best natural)")


def _column(condition: str, group: str, groups: int) -> str:
    return style.label(condition) if groups == 1 else f"{style.label(condition)}, {group}"
