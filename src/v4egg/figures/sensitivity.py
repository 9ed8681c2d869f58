"""How much an evolution's settings matter: activation of the evolved image by setting, one changed at a time.

A panel for each setting: every neuron (thin), the median over neurons and the interquartile range, at the values tried
and at that of the condition from which only this setting departs (filled).
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.tables.sensitivity import table as table
from v4egg.figures import style

_COLOUR = "#0072B2"
_COLUMNS = 3  # panels side by side


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`."""
    panels = style.groups(numbers, "condition", "setting")
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.new_figure(0.3 + 1.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    several = numbers["condition"].nunique() > 1
    for place, (panel, ((condition, setting), part)) in enumerate(zip(axes.flat, panels, strict=False)):
        _draw_setting(panel, part)
        panel.set_xlabel(f"{style.label(setting)}, {style.label(condition)}" if several else style.label(setting))
        if place % columns == 0:
            panel.set_ylabel("evolved image over\nbest natural image")
    for empty in axes.flat[len(panels) :]:
        empty.set_axis_off()
    return figure


def _draw_setting(axes: Axes, numbers: pd.DataFrame) -> None:
    """Values stand side by side in their order, since some settings grow by factors and some by steps."""
    values = sorted(numbers["value"].unique())
    place = {value: i for i, value in enumerate(values)}
    neurons = numbers[numbers["statistic"] == "neuron"].pivot(index="value", columns="neuron")["evolved_over_natural"]
    axes.plot(range(len(values)), neurons.reindex(values), color=style.LIGHT, linewidth=0.5, zorder=1)
    over = numbers[numbers["statistic"] != "neuron"]
    wide = over.pivot(index="value", columns="statistic", values="evolved_over_natural").reindex(values)
    error = np.abs(wide[["q25", "q75"]].to_numpy().T - wide["median"].to_numpy())
    look: style.Look = {"color": _COLOUR, "marker": "o", "markersize": 4, "markerfacecolor": "white"}
    axes.errorbar(range(len(values)), wide["median"], error, **look)
    base_value = numbers.loc[~numbers["departs"], "value"].iloc[0]
    axes.plot(place[base_value], wide.loc[base_value, "median"], "o", color=_COLOUR, markersize=5, zorder=4)
    for value in values:
        style.number_above(axes, place[value], float(wide.loc[value, "median"]))
    axes.axhline(1, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_title(f"n = {wide['n'].max():.0f}", loc="right", pad=12, fontsize=style.SMALL)
    axes.set_xlim(-0.4, len(values) - 0.6)
