"""What an image costs, how fast each method's activation rises, and what judges respond to what the cost has bought.

Seconds and encoder evaluations per image, by method and architecture, and the generators' activation along the
synthesis; with a transfer store, the activation of every judge at the end against the evaluations that it took.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from v4egg.evaluation.tables.compute_time import COSTS, REFERENCE
from v4egg.evaluation.tables.compute_time import table as table
from v4egg.figures import style

_LABELS = {"seconds": "seconds per image", "evaluations": "encoder evaluations per image"}
_MANY = 4  # costs in a panel, above which their numbers stand upright


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw costs on logarithmic axes, then trajectories and judges by architecture, from the table of :func:`table`."""
    archs = list(dict.fromkeys(numbers["arch"]))
    colours = style.colours(list(dict.fromkeys(numbers["method"])))
    by_measure = {measure: numbers[numbers["measure"] == measure] for measure in numbers["measure"].unique()}
    judged = by_measure.get("judged", pd.DataFrame())
    figure = style.new_figure(2.5 if judged.empty else 5.0)
    upper: Any = figure
    lower = None
    if not judged.empty:
        upper, lower = np.ravel(np.asarray(figure.subfigures(2, 1)))
    ratios = [0.5 + 0.15 * len(archs) * len(colours)] * 2 + [1.0] * len(archs)
    axes = upper.subplots(1, 2 + len(archs), squeeze=False, width_ratios=ratios)[0]
    for panel, measure in zip(axes, COSTS, strict=False):
        _draw_costs(panel, by_measure[measure], measure, archs, colours)
    trajectories = by_measure.get("fraction_of_gradient_ascent", numbers[:0])
    for panel, arch in zip(axes[2:], archs, strict=True):
        _draw_trajectories(panel, trajectories[trajectories["arch"] == arch], arch, colours)
    for other in axes[3:]:
        other.sharey(axes[2])
    axes[2].set_ylabel(f"generators' activation\n(1: final of {style.label(REFERENCE)})")
    for panel, letter in zip(axes[:3], "abc", strict=True):
        style.panel_letter(panel, letter, -28)
    if lower is not None:
        _draw_judges(lower, judged, archs, colours)
    handles = [axes[0].plot([], [], "o", color=c, markersize=3, label=style.label(m))[0] for m, c in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_costs(axes: Axes, costs: pd.DataFrame, measure: str, archs: Sequence[str], colours: dict[str, str]) -> None:
    step, many = 0.8 / len(colours), len(archs) * len(colours) > _MANY
    for group, arch in enumerate(archs):
        for rank, method in enumerate(colours):
            rows = costs[(costs["arch"] == arch) & (costs["method"] == method)]
            x = group + (rank - (len(colours) - 1) / 2) * step
            images = rows.loc[rows["statistic"] == "image", "value"].to_numpy()
            style.strip(axes, x, images[images > 0], colours[method], (measure, arch, method), 0.5 * step)
            _draw_cost(axes, x, rows.set_index("statistic")["value"], step, colours[method], many)
    style.plain_log(axes.yaxis)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.5, high * (12 if many else 2.2))  # room for the numbers
    spare = 0.4 if len(archs) == 1 else 0.0
    axes.set_xlim(-0.6 - spare, len(archs) - 0.4 + spare)
    turned: style.Look = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if many else {}
    axes.set_xticks(range(len(archs)), [style.label(a) if many else style.wrapped(a) for a in archs], **turned)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(_LABELS[measure])


def _draw_cost(axes: Axes, x: float, statistics: pd.Series, step: float, colour: str, upright: bool) -> None:
    """The mean, its number, and how many times less than gradient ascent it is."""
    mean = statistics.get("mean", np.nan)
    if not mean > 0:
        return
    axes.plot([x - 0.35 * step, x + 0.35 * step], [mean, mean], color=style.BLACK, linewidth=1.4)
    times = [_times(statistics["ratio"])] if "ratio" in statistics else []
    text = (", " if upright else "\n").join([_plain(mean), *times])
    look: style.Look = {
        "ha": "center",
        "va": "bottom",
        "fontsize": style.SMALL,
        "color": colour,
        "rotation": 90 * upright,
    }
    axes.annotate(text, (x, np.max(statistics["image"])), xytext=(0, 4), textcoords="offset points", **look)


def _plain(cost: float) -> str:
    """Three digits that matter, never as a power of ten."""
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.3g}"


def _times(ratio: float) -> str:
    """How gradient ascent's cost over a method's reads beside that method."""
    if 0.95 < ratio < 1.05:
        return "the same"
    return f"{ratio:.1f}× less" if ratio >= 1 else f"{1 / ratio:.1f}× more"


def _draw_trajectories(axes: Axes, trajectories: pd.DataFrame, arch: str, colours: dict[str, str]) -> None:
    for (method,), rows in style.groups(trajectories, "method"):
        wide = rows.pivot(index="evaluations", columns="statistic", values="value")
        marker = "o" if len(wide) == 1 else None
        axes.fill_between(wide.index, wide["q25"], wide["q75"], color=colours[method], alpha=0.2, linewidth=0)
        axes.plot(wide.index, wide["median"], color=colours[method], marker=marker, markersize=3)
    axes.axhline(1, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("images seen")
    axes.set_title(_title(arch, trajectories), loc="left")


def _title(arch: str, rows: pd.DataFrame) -> str:
    """The architecture, and the number of units."""
    n = rows.loc[rows["statistic"] == "n", "value"].max()
    return f"{style.label(arch)} (n = {n:.0f})" if np.isfinite(n) else style.label(arch)


def _draw_judges(figure: SubFigure, judged: pd.DataFrame, archs: Sequence[str], colours: dict[str, str]) -> None:
    """A panel for each architecture: judges side by side at the evaluations of each method, filled if independent."""
    axes = figure.subplots(1, len(archs), squeeze=False, sharey=True)[0]
    judges = list(dict.fromkeys(judged["judge"]))
    looks = {judge: style.judge_look(judge) for judge in judges}
    for panel, arch in zip(axes, archs, strict=True):
        for (method, judge), rows in style.groups(judged[judged["arch"] == arch], "method", "judge"):
            wide = rows.set_index("statistic")["value"]
            x = rows["evaluations"].iloc[0] * 1.07 ** (judges.index(judge) - (len(judges) - 1) / 2)
            error = [[wide["median"] - wide["q25"]], [wide["q75"] - wide["median"]]]
            face = "white" if rows["shares_weights"].iloc[0] else colours[method]
            look: style.Look = {**looks[judge], "color": colours[method], "markerfacecolor": face}
            panel.errorbar(x, wide["median"], error, elinewidth=0.8, **look)
        panel.axhline(1, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
        style.plain_log(panel.xaxis)
        low, high = panel.get_xlim()
        panel.set_xlim(low / 1.6, high * 1.6)  # methods of one cost keep their judges close together
        panel.set_xlabel(_LABELS["evaluations"])
        panel.set_title(_title(arch, judged[judged["arch"] == arch]), loc="left")
    axes[0].set_ylabel("judge's activation\n(1: its best natural image)")
    style.panel_letter(axes[0], "d", -28)
    marks = [
        axes[0].plot([], [], linestyle="", label=style.label(judge), **{**look, "color": style.BLACK})[0]
        for judge, look in looks.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
