"""How much an evolution's settings matter: relative activation by setting, one changed at a time.

A panel for each setting: every neuron (thin), the median over neurons and the interquartile range, at the values tried
and at that of the condition from which only this setting departs (filled).
"""

import json
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

_COLOUR = "#0072B2"
_COLUMNS = 3  # panels side by side
_QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def table(conditions: Sequence[str | Path]) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: condition (from which one setting departs), setting, value (of it), departs (False: the condition itself),
    statistic (``neuron``; over neurons ``median``, ``q25``, ``q75``, ``share_above_1``), neuron, normalized_activation.

    Raises:
        V4eggError: no store departs from a condition that is given.
    """
    loaded = _read(conditions)
    parts = []
    for data in loaded.values():
        for setting, base in _departures(data):
            if base in loaded:
                parts.append(_numbers(data, setting, base, departs=True))
    if not parts:
        raise V4eggError(
            "sensitivity: no store departs from a condition; name settings under evolution.conditions.vary"
        )
    kept = pd.concat(parts)[["condition", "setting"]].drop_duplicates()
    parts += [_numbers(loaded[base], setting, base, departs=False) for base, setting in kept.itertuples(index=False)]
    return pd.concat(parts).sort_values(["condition", "setting", "value"], kind="stable").reset_index(drop=True)


@style.styled
def draw(conditions: Sequence[str | Path]) -> Figure:
    """The figure. Raises as :func:`table`."""
    numbers = table(conditions)
    panels = list(numbers.groupby(["condition", "setting"], sort=False))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.new_figure(0.3 + 1.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    several = numbers["condition"].nunique() > 1
    for place, (panel, ((condition, setting), here)) in enumerate(zip(axes.flat, panels, strict=False)):
        _draw_setting(panel, here)
        panel.set_xlabel(f"{style.label(setting)}, {style.label(condition)}" if several else style.label(setting))
        if place % columns == 0:
            panel.set_ylabel("relative activation\n(evolved over best natural)")
    for empty in axes.flat[len(panels) :]:
        empty.set_axis_off()
    return figure


def _read(conditions: Sequence[str | Path]) -> dict[str, xr.Dataset]:
    loaded = [stores.load(path, "evolution").load() for path in conditions]
    return {str(data.attrs["condition"]): data for data in loaded}


def _departures(data: xr.Dataset) -> list[tuple[str, str]]:
    """(setting, the condition from which it departs), of a store that does."""
    swept = json.loads(data.attrs.get("swept", "{}"))
    return [(swept["setting"], swept["condition"])] if swept else []


def _numbers(data: xr.Dataset, setting: str, base: str, *, departs: bool) -> pd.DataFrame:
    value = json.loads(data.attrs["settings"])[setting]
    each = data["evolved_over_natural"].to_series().dropna()
    rows = [{"statistic": "neuron", "neuron": neuron, "evolved_over_natural": a} for neuron, a in each.items()]
    rows += [{"statistic": name, "evolved_over_natural": each.quantile(q)} for name, q in _QUARTILES.items()]
    rows.append({"statistic": "share_above_1", "evolved_over_natural": (each > 1).mean() if len(each) else np.nan})
    head = {"condition": base, "setting": setting, "value": float(value), "departs": departs}
    columns = [*head, "statistic", "neuron", "evolved_over_natural"]
    return pd.DataFrame(rows).assign(**head).reindex(columns=columns)


def _draw_setting(axes: Axes, numbers: pd.DataFrame) -> None:
    """Values stand side by side in their order, since some settings grow by factors and some by steps."""
    values = sorted(numbers["value"].unique())
    place = {value: i for i, value in enumerate(values)}
    neurons = numbers[numbers["statistic"] == "neuron"].pivot(index="value", columns="neuron")["evolved_over_natural"]
    axes.plot(range(len(values)), neurons.reindex(values), color=style.LIGHT, linewidth=0.5, zorder=1)
    wide = numbers[numbers["statistic"] != "neuron"].pivot(
        index="value", columns="statistic", values="evolved_over_natural"
    )
    wide = wide.reindex(values)
    error = np.abs(wide[["q25", "q75"]].to_numpy().T - wide["median"].to_numpy())
    axes.errorbar(
        range(len(values)), wide["median"], error, color=_COLOUR, marker="o", markersize=4, markerfacecolor="white"
    )
    own = numbers.loc[~numbers["departs"], "value"].iloc[0]
    axes.plot(place[own], wide.loc[own, "median"], "o", color=_COLOUR, markersize=5, zorder=4)
    for value, median in wide["median"].items():
        style.number_above(axes, place[value], median)
    axes.axhline(1, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_xlim(-0.4, len(values) - 0.6)
