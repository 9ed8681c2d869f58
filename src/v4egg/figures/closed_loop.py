"""What is gained by showing a brain the images made for it, against natural images shown equally often.

One row per closed loop: normalized activation over presentations; the two arms unit by unit after the last round;
predicted against true responses before and after.
"""

import itertools
import string

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.closed_loop import NATURAL, SYNTHESISED
from v4egg.evaluation.tables.closed_loop import table as table
from v4egg.figures import style

_COLOURS = {SYNTHESISED: style.colours(["energy_guided"])["energy_guided"], NATURAL: style.GREY}
_LABELS = {SYNTHESISED: "trained on synthesised images", NATURAL: "trained on natural images"}
_HEIGHT = 2.2  # inches per row


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`."""
    loops = style.groups(numbers, "session", "arch")
    figure = style.new_figure(_HEIGHT * len(loops) + 0.3)
    panels = figure.subplots(len(loops), 3, squeeze=False, width_ratios=(1.3, 1, 1))
    letters = itertools.cycle(string.ascii_lowercase)
    for (course, pairs, responses), ((session, arch), loop) in zip(panels, loops, strict=True):
        _draw_course(course, loop)
        n_units = loop.loc[loop["statistic"] == "n", "value"].max()
        course.set_title(f"{session}, {style.label(arch)} ({n_units:.0f} units)", loc="left")
        _draw_pairs(pairs, loop)
        _draw_responses(responses, loop)
        for axes in (course, pairs, responses):
            style.panel_letter(axes, next(letters), -28)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_course(axes: Axes, loop: pd.DataFrame) -> None:
    for arm, colour in _COLOURS.items():
        rows = loop[loop["arm"] == arm]
        each = rows[rows["statistic"] == "normalized_activation"]
        units = each.pivot(index="presentations", columns="unit", values="value")
        axes.plot(units.index, units.to_numpy(), color=colour, linewidth=0.4, alpha=0.35)
        over = rows[rows["unit"] == ""].pivot(index="presentations", columns="statistic", values="value")
        if {"low", "high"} <= set(over):
            axes.fill_between(over.index, over["low"], over["high"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(over.index, over["median"], "o-", color=colour, markersize=3, linewidth=1.4, label=_LABELS[arm])
        axes.set_xticks(over.index)
    axes.axhline(1, color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 2)), label="model-selected natural image")
    axes.set(xlabel="presentations", ylabel="normalized activation\nunder the simulated brain")


def _draw_pairs(axes: Axes, loop: pd.DataFrame) -> None:
    last = loop[loop["round"] == loop["round"].max()]
    wide = last[last["statistic"] == "normalized_activation"].pivot(index="unit", columns="arm", values="value")
    x, y = wide[NATURAL].to_numpy(), wide[SYNTHESISED].to_numpy()
    axes.scatter(x, y, color=style.BLACK, **style.POINTS)
    _square(axes, x, y)
    test = last[(last["unit"] == "") & (last["arm"] == SYNTHESISED)].set_index("statistic")["value"]
    title = [f"{test['n_won']:.0f}/{test['n_pairs']:.0f} above", style.q_value(test.get("p_adjusted", np.nan))]
    axes.set_title(", ".join(filter(None, title)), loc="left")
    axes.set(xlabel=_LABELS[NATURAL], ylabel=_LABELS[SYNTHESISED])


def _draw_responses(axes: Axes, loop: pd.DataFrame) -> None:
    by_unit = loop[(loop["arm"] == SYNTHESISED) & (loop["unit"] != "")]
    points = []
    rounds = {
        "first round": (by_unit["round"].min(), "white"),
        "last round": (by_unit["round"].max(), _COLOURS[SYNTHESISED]),
    }
    for label, (round_index, fill) in rounds.items():
        wide = by_unit[by_unit["round"] == round_index].pivot(index="unit", columns="statistic", values="value")
        x, y = wide["predicted"].to_numpy(), wide["activation"].to_numpy()
        axes.scatter(x, y, s=9, facecolors=fill, edgecolors=_COLOURS[SYNTHESISED], linewidths=0.6, label=label)
        points.append(np.stack([x, y]))
    _square(axes, *np.concatenate(points, 1))
    axes.set(xlabel="predicted response\n(spikes per window)", ylabel="true response\n(spikes per window)")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), ncols=2, handletextpad=0.1, borderpad=0.2)


def _square(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    values = np.concatenate([x, y])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = 0.08 * max(high - low, 0.1)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), box_aspect=1)
    style.identity_line(axes)
