"""XDream's experiment: how an evolved image comes to excite a neuron more than the best natural image.

(a) Activation over presentations, divided by that of the best natural image, and (b) the final ratio of each neuron,
under each condition. All activations are noiseless, also where the scores that the optimizer was given had noise.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.tables.evolution import table as table
from v4egg.figures import style

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", style.BLACK)
_BANDS = 4  # conditions up to which quartiles are drawn: more would hide one another
_ONE_ROW = 10  # columns up to which the panels are side by side
_CROWDED = 20  # columns beyond which the numbers above them would touch


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`."""
    names = list(dict.fromkeys(numbers["condition"]))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    dashes = {name: "-" if i < len(_COLOURS) else "--" for i, name in enumerate(names)}
    columns = numbers[numbers["statistic"] == "neuron"].groupby(["condition", "group"], sort=False).ngroups
    if columns <= _ONE_ROW:
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


def _draw_curves(axes: Axes, curves: pd.DataFrame, colours: dict[str, str], dashes: dict[str, str]) -> None:
    for (name,), rows in style.groups(curves, "condition"):
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
    rotation = 60 if each.groupby(["condition", "group"]).ngroups > _CROWDED else 0
    statistics = final[final["statistic"] != "neuron"].set_index(["condition", "group", "statistic"])["value"]
    labels: list[str] = []
    for name in colours:
        groups = each[each["condition"] == name].groupby("group", sort=False)
        for group, rows in groups:
            place = len(labels)
            style.strip(axes, place, rows["value"].to_numpy(), colours[name], ("evolution", name, group), 0.5)
            median = statistics[name, group, "median"]
            axes.plot([place - 0.35, place + 0.35], [median, median], color=style.BLACK, linewidth=1.4)
            style.number_above(axes, place, median, rotation=rotation)
            labels.append(_column(name, str(group), groups.ngroups, int(statistics[name, group, "n"])))
    slanted: style.Look = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(labels) > 3 else {}
    axes.set_xticks(range(len(labels)), labels, **slanted)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("evolved image over\nbest natural image")


def _column(condition: str, group: str, groups: int, n: int) -> str:
    name = style.label(condition) if groups == 1 else f"{style.label(condition)}, {group}"
    return f"{name} (n = {n})"
