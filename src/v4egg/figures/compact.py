"""Compact models: how well they follow their teacher, how small they are, and how well they predict recorded responses.

Per session: (a) squared correlation with the teacher on images that no fit saw, before and after pruning and after
training again; (b) filters that stay in each layer; (c) parameters, beside the teacher's and those of published models;
(d) correlation with recorded responses to test images, beside other models of the same units.
"""

import string
from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from v4egg.evaluation.tables.compact import PUBLISHED
from v4egg.evaluation.tables.compact import table as table
from v4egg.figures import style

_COLOURS = {"distilled": "#56B4E9", "pruned": "#E69F00", "retrained": "#0072B2", "teacher": "#CC79A7"}
_FINAL = "retrained"


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`."""
    sessions = list(dict.fromkeys(numbers.loc[numbers["measure"] == "filters", "session"]))
    figure = style.new_figure(2.5 * len(sessions))
    columns = numbers.loc[numbers["measure"] == "r2_to_teacher", "model"].nunique()
    grid = figure.subplots(len(sessions), 4, squeeze=False, width_ratios=[0.26 * columns, 1.1, 0.8, 1.7])
    letters = iter(string.ascii_lowercase)
    for panels, session in zip(grid, sessions, strict=True):
        rows = numbers[numbers["session"] == session]
        followers = dict.fromkeys(rows.loc[rows["measure"] == "r2_to_teacher", "model"])
        _draw_strips(panels[0], rows, "r2_to_teacher", {model: _name(model) for model in followers}, "median")
        panels[0].set(ylabel="r\u00b2 to the teacher", ylim=(min(0, panels[0].get_ylim()[0]), 1))
        _draw_filters(panels[1], rows)
        _draw_parameters(panels[2], rows)
        models = [m for m in dict.fromkeys(rows["model"]) if _is_scored(rows, m) and not m.startswith("shared_")]
        _draw_strips(panels[3], rows, "correlation_to_average", {m: _name(m) for m in models}, "mean")
        panels[3].set_ylabel("correlation on test images")
        final = rows[(rows["measure"] == "parameters") & (rows["model"] == _FINAL)].set_index("statistic")["value"]
        panels[0].set_title(f"{session} ({final['n']:.0f} units)", loc="left", pad=16)
        for panel in panels:
            style.panel_letter(panel, next(letters), -26, 12)
    return figure


def _is_scored(rows: pd.DataFrame, model: str) -> bool:
    return bool(((rows["measure"] == "correlation_to_average") & (rows["model"] == model)).any())


def _name(model: str) -> str:
    return {PUBLISHED: "published"}.get(model, style.label(model))


def _statistics(rows: pd.DataFrame) -> tuple[np.ndarray, pd.Series]:
    """The units' numbers, and those over units by name."""
    statistics = rows.set_index("statistic")["value"]
    return np.atleast_1d(statistics["unit"]), statistics.drop("unit")


def _draw_strips(axes: Axes, part: pd.DataFrame, measure: str, models: dict[str, str], middle: str) -> None:
    """A column of units for each model, with their median or mean as a line and a number, and its interval."""
    rows = part[part["measure"] == measure]
    for place, model in enumerate(models):
        units, over = _statistics(rows[rows["model"] == model])
        style.strip(axes, place, units, _COLOURS.get(model, style.GREY), ("compact", measure, model), 0.5)
        style.middle(axes, place, 0.35, over[middle], over.get("low", np.nan), over.get("high", np.nan))
        style.number_above(axes, place, over[middle])
    _set_ticks(axes, models.values())


def _draw_filters(axes: Axes, part: pd.DataFrame) -> None:
    rows = part[(part["measure"] == "filters") & (part["model"] == _FINAL)]
    layers = sorted(set(rows["layer"]))
    for layer in layers:
        units, over = _statistics(rows[rows["layer"] == layer])
        style.strip(axes, layer, units, _COLOURS[_FINAL], ("filters", layer), 0.5)
        style.middle(axes, layer, 0.35, over["median"])
        place: style.Look = {"transform": axes.get_xaxis_transform(), "ha": "center", "fontsize": style.SMALL}
        axes.text(layer, 1.01, f"{over['median']:g}", **place)
    before = part[(part["measure"] == "filters") & (part["model"] == "distilled") & (part["statistic"] == "median")]
    marks: style.Look = {"color": style.GREY, "markersize": 12, "label": "before pruning"}
    axes.plot(before["layer"].astype(float), before["value"], "_", **marks)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.1), borderpad=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(ylim=(0, None), xlabel="layer", ylabel="filters")
    axes.set_xticks(layers)


def _draw_parameters(axes: Axes, part: pd.DataFrame) -> None:
    models = {"distilled": "distilled", _FINAL: _FINAL, PUBLISHED: "published"}
    rows = part[part["measure"] == "parameters"]
    names = {model: name for model, name in models.items() if (rows["model"] == model).any()}
    for place, model in enumerate(names):
        units, over = _statistics(rows[rows["model"] == model])
        style.strip(axes, place, units, _COLOURS.get(model, style.GREY), ("parameters", model), 0.5)
        style.middle(axes, place, 0.35, over["median"])
        thousands = f"{over['median'] / 1000:.1f}k"
        axes.text(place, 1.01, thousands, transform=axes.get_xaxis_transform(), ha="center", fontsize=style.SMALL)
    teacher = rows[(rows["model"] == "teacher") & (rows["statistic"] == "median")]["value"].item()
    ratio = rows[(rows["model"] == _FINAL) & (rows["statistic"] == "ratio")]["value"].item()
    axes.axhline(teacher, color=_COLOURS["teacher"], linewidth=1)
    look: style.Look = {"color": _COLOURS["teacher"], "ha": "right", "va": "bottom", "fontsize": style.SMALL}
    axes.text(len(names) - 0.45, teacher, f"teacher (\u00d7{ratio:,.0f})", **look)
    axes.set_yscale("log")
    axes.set_ylim(top=teacher * 2.5)
    _set_ticks(axes, names.values())
    axes.set_ylabel("parameters")


def _set_ticks(axes: Axes, names: Collection[str]) -> None:
    axes.set_xticks(range(len(names)), list(names), rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)
