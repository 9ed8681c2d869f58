"""How compact models are built: filters of each layer, their collapse, and what units share.

A row for each set of models: (left) filters by layer, (second) the consolidation index beside that of shuffled layers,
(right) how alike filters are to those of other units, by layer, against networks of shuffled weights and unpruned ones.
"""

import itertools
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.compact.circuits import EARLY, LATE, MODELS, SHUFFLED, UNPRUNED, shuffled_consolidation
from v4egg.errors import V4eggError
from v4egg.figures import style
from v4egg.io import stores
from v4egg.stats.inference import bootstrap_interval, paired_wilcoxon

_CONDITIONS = {  # colour and label
    MODELS: ("#0072B2", "compact models"),
    SHUFFLED: (style.GREY, "shuffled weights"),
    UNPRUNED: ("#E69F00", "before pruning"),
}
_MEASURES = {"response": "correlation of outputs", "kernel": "cosine of kernels"}
_HEIGHT = 2.0  # inches a row


def table(circuits: Sequence[str | Path]) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: models, session, measure, condition, layer, unit, value. Measures of a unit: ``filters``, ``parameters``,
    ``consolidation`` (condition ``shuffled``: mean over all orders of its layers), ``similarity_response`` and
    ``_kernel``, ``matched_response`` and ``_kernel``. Over units (unit empty): ``median_...`` of these with ``low_``
    and ``high_``, their 95% bootstrap interval; and of ``matched`` less that of shuffled weights, early layers (0, 1)
    against late ones (2 to 4): ``early_late_difference_...`` (median), ``early_late_effect_...`` (rank-biserial) and
    ``early_late_p_...`` (Wilcoxon).
    """
    return pd.concat([_table(data) for data in _read(circuits)], ignore_index=True)


@style.styled
def draw(circuits: Sequence[str | Path]) -> Figure:
    """The figure."""
    found = _read(circuits)
    figure = style.new_figure(_HEIGHT * len(found) + 0.3)
    panels = figure.subplots(len(found), 4, squeeze=False, width_ratios=(1.2, 0.7, 1.1, 1.1))
    letters = itertools.cycle(string.ascii_lowercase)
    for row, data in zip(panels, found, strict=True):
        _draw_filters(row[0], data)
        _draw_consolidation(row[1], data)
        for axes, measure in zip(row[2:], _MEASURES, strict=True):
            _draw_likeness(axes, data, measure)
        for axes in row:
            style.panel_letter(axes, next(letters), -28)
    shown = {str(condition) for data in found for condition in data["condition"].values}
    looks = [(colour, label) for name, (colour, label) in _CONDITIONS.items() if name in shown]
    handles = [panels[0, 2].plot([], [], "o-", color=colour, label=label, markersize=3)[0] for colour, label in looks]
    for line, label in (("o-", "best of 3 drawn"), ("--", "best of all")):
        handles += panels[0, 2].plot([], [], line, color=style.BLACK, label=label, markersize=3, linewidth=0.7)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _read(paths: Sequence[str | Path]) -> list[xr.Dataset]:
    if not paths:
        raise V4eggError("circuits: no session with targets has these compact models; see circuits.models")
    return [stores.load(path, "circuits").load() for path in paths]


def _draw_filters(axes: Axes, data: xr.Dataset) -> None:
    for layer in data["layer"].values:
        values = data["filters"].sel(layer=layer).values.astype(float)
        style.strip(axes, layer, values, style.GREY, ("filters", data.attrs["session"], int(layer)), 0.5)
        median = float(np.median(values))
        axes.plot([layer - 0.35, layer + 0.35], [median, median], color=style.BLACK, linewidth=1.4)
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": style.SMALL}
        axes.text(layer, 1.01, f"{median:g}", **place)
    style.plain_log(axes.yaxis)
    axes.set(xlabel="layer", ylabel="filters", xticks=data["layer"].values)
    title = f"{data.attrs['session']}, {style.label(data.attrs['models'])}: {data.sizes['unit']} units"
    axes.set_title(title, loc="left", pad=14)


def _draw_consolidation(axes: Axes, data: xr.Dataset) -> None:
    values, chance = data["consolidation"].values, _chance(data)
    for x, (these, colour) in enumerate(((values, _CONDITIONS[MODELS][0]), (chance, style.GREY))):
        style.strip(axes, x, these, colour, ("consolidation", data.attrs["session"], x), 0.5)
        median = float(np.median(these))
        axes.plot([x - 0.35, x + 0.35], [median, median], color=style.BLACK, linewidth=1.4)
        style.number_above(axes, x, median)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set(ylabel="consolidation index", xlim=(-0.6, 1.6))
    axes.set_xticks([0, 1], ["models", "layers\nshuffled"])
    axes.tick_params(axis="x", length=0)


def _draw_likeness(axes: Axes, data: xr.Dataset, measure: str) -> None:
    layers = data["layer"].values
    for condition, (colour, _) in _CONDITIONS.items():
        if condition not in data["condition"].values:
            continue
        values = data["matched"].sel(measure=measure, condition=condition)
        middle = np.array([_interval(values.sel(layer=layer).values, data, measure, condition) for layer in layers])
        axes.fill_between(layers, middle[:, 1], middle[:, 2], color=colour, alpha=0.2, linewidth=0)
        axes.plot(layers, middle[:, 0], "o-", color=colour, markersize=3)
        every = data["similarity"].sel(measure=measure, condition=condition).median("unit")
        axes.plot(layers, every.values, "--", color=colour, linewidth=0.7)
    test = _early_late(data, measure)
    title = f"early \u2212 late {style.number(test['difference'])}, p {test['p']:.1g}"
    axes.set_title(title, loc="left", fontsize=style.SMALL)
    axes.set(xlabel="layer", ylabel=f"{_MEASURES[measure]}\n(of another unit's best)", xticks=layers)


def _chance(data: xr.Dataset) -> np.ndarray:
    return shuffled_consolidation(data["filters"].transpose("unit", "layer").values).mean(1)


def _interval(values: np.ndarray, data: xr.Dataset, *key: object) -> tuple[float, float, float]:
    values = values[np.isfinite(values)]
    median = float(np.median(values)) if values.size else np.nan
    return median, *bootstrap_interval(values, np.median, ("circuits", data.attrs["session"], *key))


def _early_late(data: xr.Dataset, measure: str) -> dict[str, float]:
    """What filters share beyond chance, in early against late layers, unit by unit."""
    matched = data["matched"].sel(measure=measure)
    excess = matched.sel(condition=MODELS) - matched.sel(condition=SHUFFLED)
    early, late = (excess.sel(layer=list(layers)).mean("layer").values for layers in (EARLY, LATE))
    test, difference = paired_wilcoxon(early, late), early - late
    finite = difference[np.isfinite(difference)]
    median = float(np.median(finite)) if finite.size else np.nan
    return {"difference": median, "effect": test.rank_biserial, "p": test.p_value}


def _table(data: xr.Dataset) -> pd.DataFrame:
    units = data["unit"].values.astype(str)
    parts = [data["filters"].to_series().rename("value").reset_index().assign(measure="filters")]
    for name in ("parameters", "consolidation"):
        parts.append(pd.DataFrame({"unit": units, "value": data[name].values, "measure": name, "condition": MODELS}))
    chance = {"unit": units, "value": _chance(data), "measure": "consolidation", "condition": SHUFFLED}
    parts.append(pd.DataFrame(chance))
    for name in ("similarity", "matched"):
        frame = data[name].to_series().rename("value").reset_index()
        parts.append(frame.assign(measure=name + "_" + frame["measure"].astype(str)))
    whole = pd.concat(parts).dropna(subset="value").fillna({"condition": MODELS})
    rows = []
    for (measure, condition, layer), part in whole.groupby(["measure", "condition", "layer"], dropna=False, sort=False):
        numbers = _interval(part["value"].to_numpy(), data, measure, condition)
        rows += [
            (f"{name}_{measure}", condition, layer, value)
            for name, value in zip(("median", "low", "high"), numbers, strict=True)
        ]
    for measure in _MEASURES:
        rows += [
            (f"early_late_{name}_{measure}", MODELS, np.nan, value)
            for name, value in _early_late(data, measure).items()
        ]
    over = pd.DataFrame(rows, columns=["measure", "condition", "layer", "value"]).assign(unit="")
    columns = ["models", "session", "measure", "condition", "layer", "unit", "value"]
    head = {"models": data.attrs["models"], "session": data.attrs["session"]}
    return pd.concat([whole, over], ignore_index=True).assign(**head)[columns]
