"""How compact models are built: filters of each layer, their collapse, and what units share.

One row per set of models: filters by layer; the consolidation index beside that of shuffled layers; and how similar
filters are to those of other units, by layer, against networks of shuffled weights and unpruned ones.
"""

import itertools
import string

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.compact.circuits import MODELS, SHUFFLED, UNPRUNED
from v4egg.evaluation.tables.circuits import table as table
from v4egg.figures import style

_CONDITIONS = {  # colour and label
    MODELS: ("#0072B2", "compact models"),
    SHUFFLED: (style.GREY, "shuffled weights"),
    UNPRUNED: ("#E69F00", "before pruning"),
}
_MEASURES = {"response": "correlation of outputs", "kernel": "cosine of kernels"}
_HEIGHT = 2.0  # inches per row


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`."""
    groups = style.groups(numbers, "session", "model_source")
    figure = style.new_figure(_HEIGHT * len(groups) + 0.3)
    panels = figure.subplots(len(groups), 4, squeeze=False, width_ratios=(1.2, 0.7, 1.1, 1.1))
    letters = itertools.cycle(string.ascii_lowercase)
    for row, ((session, model_source), rows) in zip(panels, groups, strict=True):
        each = rows[rows["unit"] != ""]
        over = rows[rows["unit"] == ""].set_index(["measure", "condition", "layer"])["value"].sort_index()
        _draw_filters(row[0], each, over, session)
        title = f"{session}, {style.label(model_source)}: {each['unit'].nunique()} units"
        row[0].set_title(title, loc="left", pad=14)
        _draw_consolidation(row[1], each, over, session)
        for axes, measure in zip(row[2:], _MEASURES, strict=True):
            _draw_similarity(axes, rows, measure)
        for axes in row:
            style.panel_letter(axes, next(letters), -28)
    conditions = set(numbers.loc[numbers["measure"].str.startswith("similarity"), "condition"])
    looks = [(colour, label) for name, (colour, label) in _CONDITIONS.items() if name in conditions]
    handles = [panels[0, 2].plot([], [], "o-", color=colour, label=label, markersize=3)[0] for colour, label in looks]
    for line, label in (("o-", "best of 3 drawn"), ("--", "best of all")):
        handles += panels[0, 2].plot([], [], line, color=style.BLACK, label=label, markersize=3, linewidth=0.7)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_filters(axes: Axes, each: pd.DataFrame, over: pd.Series, session: str) -> None:
    rows = each[each["measure"] == "filters"]
    layers = sorted(rows["layer"].unique())
    for layer in layers:
        values = rows.loc[rows["layer"] == layer, "value"].to_numpy(float)
        style.strip(axes, layer, values, style.GREY, ("filters", session, int(layer)), 0.5)
        median = over["median_filters", MODELS, layer]
        axes.plot([layer - 0.35, layer + 0.35], [median, median], color=style.BLACK, linewidth=1.4)
        place = style.above(axes)
        axes.text(layer, 1.01, f"{median:g}", **place)
    style.plain_log(axes.yaxis)
    axes.set(xlabel="layer", ylabel="filters", xticks=layers)


def _draw_consolidation(axes: Axes, each: pd.DataFrame, over: pd.Series, session: str) -> None:
    rows = each[each["measure"] == "consolidation"]
    for x, condition in enumerate((MODELS, SHUFFLED)):
        values = rows.loc[rows["condition"] == condition, "value"].to_numpy()
        style.strip(axes, x, values, _CONDITIONS[condition][0], ("consolidation", session, x), 0.5)
        median = over.loc["median_consolidation", condition].item()
        axes.plot([x - 0.35, x + 0.35], [median, median], color=style.BLACK, linewidth=1.4)
        style.number_above(axes, x, median)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set(ylabel="consolidation index", xlim=(-0.6, 1.6))
    axes.set_xticks([0, 1], ["models", "layers\nshuffled"])
    axes.tick_params(axis="x", length=0)


def _draw_similarity(axes: Axes, part: pd.DataFrame, measure: str) -> None:
    over = part[part["unit"] == ""]
    for condition, (colour, _) in _CONDITIONS.items():
        rows = over[over["condition"] == condition]
        wide = rows.dropna(subset="layer").pivot(index="layer", columns="measure", values="value")
        if f"median_matched_{measure}" not in wide:
            continue
        if f"low_matched_{measure}" in wide:
            low, high = wide[f"low_matched_{measure}"], wide[f"high_matched_{measure}"]
            axes.fill_between(wide.index, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(wide.index, wide[f"median_matched_{measure}"], "o-", color=colour, markersize=3)
        axes.plot(wide.index, wide[f"median_similarity_{measure}"], "--", color=colour, linewidth=0.7)
        axes.set_xticks(wide.index)
    test = over.set_index("measure")["value"]
    q = style.q_value(test[f"early_late_p_adjusted_{measure}"])
    title = f"early \u2212 late {style.number(test[f'early_late_difference_{measure}'])}"
    axes.set_title(", ".join(filter(None, [title, q])), loc="left", fontsize=style.SMALL)
    axes.set(xlabel="layer", ylabel=f"{_MEASURES[measure]}\n(best match in another unit)")
