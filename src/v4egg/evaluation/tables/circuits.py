"""Numbers of the figure ``circuits``: filters of each layer of compact models, their collapse, and what units share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.compact.circuits import EARLY, LATE, MODELS, SHUFFLED, shuffled_consolidation
from v4egg.errors import V4eggError
from v4egg.evaluation.tables.common import finite, median, median_interval, with_adjusted_p
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon

MEASURES = ("response", "kernel")
COLUMNS = ["model_source", "session", "measure", "condition", "layer", "unit", "value"]


def table(circuits: Sequence[str | Path]) -> pd.DataFrame:
    """Sizes of compact models and the similarity of their filters across units; one number per row.

    Args:
        circuits: Stores of kind ``circuits``, one per set of compact models.

    Returns:
        Columns: ``model_source``, ``session``; ``measure``; ``condition`` (``models``, ``shuffled``, ``unpruned``);
        ``layer``; ``unit`` (empty: over units); ``value``. Measures of a unit: ``filters``, ``parameters``,
        ``consolidation`` (condition ``shuffled``: mean over all orders of its layers), ``similarity_response`` and
        ``similarity_kernel`` (best match among all filters of another unit), ``matched_response`` and
        ``matched_kernel`` (expected best of three). Over units: ``median_...`` of these with their 95% bootstrap
        interval ``low_...`` and ``high_...``, and ``n_...``; and of ``matched`` minus that of shuffled weights, early
        layers (0, 1) against late ones (2 to 4): ``early_late_difference_...`` (median), ``early_late_effect_...``
        (rank-biserial), ``early_late_p_...`` (two-sided paired Wilcoxon test) and ``early_late_p_adjusted_...``,
        corrected over both measures and all sets of models.

    Raises:
        V4eggError: No store is given.
    """
    if not circuits:
        raise V4eggError("circuits: no session with targets has these compact models; see circuits.models")
    whole = pd.concat([_table(stores.load(path, "circuits").load()) for path in circuits], ignore_index=True)
    tests = whole["measure"].str.fullmatch("early_late_p_(" + "|".join(MEASURES) + ")")
    marked = whole.assign(kind=np.where(tests, "p", ""))
    corrected = with_adjusted_p(marked, "kind", "p", [], "q")
    names = corrected["measure"].str.replace("early_late_p_", "early_late_p_adjusted_")
    return corrected.assign(measure=corrected["measure"].where(corrected["kind"] != "q", names))[COLUMNS]


def _table(data: xr.Dataset) -> pd.DataFrame:
    each = _of_units(data)
    rows = []
    for (measure, condition, layer), part in each.groupby(["measure", "condition", "layer"], dropna=False, sort=False):
        values = part["value"].to_numpy()
        numbers = median_interval(values, ("circuits", data.attrs["session"], measure, condition))
        numbers["n"] = finite(values).size
        rows += [(f"{name}_{measure}", condition, layer, value) for name, value in numbers.items()]
    for measure in MEASURES:
        numbers = _early_late(data, measure)
        rows += [(f"early_late_{name}_{measure}", MODELS, np.nan, value) for name, value in numbers.items()]
    over = pd.DataFrame(rows, columns=["measure", "condition", "layer", "value"]).assign(unit="")
    head = {"model_source": data.attrs["model_source"], "session": data.attrs["session"]}
    return pd.concat([each, over], ignore_index=True).assign(**head)[COLUMNS]


def _of_units(data: xr.Dataset) -> pd.DataFrame:
    """The numbers of single units."""
    units = data["unit"].values.astype(str)
    parts = [data["filters"].to_series().rename("value").reset_index().assign(measure="filters")]
    for name in ("parameters", "consolidation"):
        parts.append(pd.DataFrame({"unit": units, "value": data[name].values, "measure": name, "condition": MODELS}))
    chance = shuffled_consolidation(data["filters"].transpose("unit", "layer").values).mean(1)
    columns = {"unit": units, "value": chance, "measure": "consolidation", "condition": SHUFFLED}
    parts.append(pd.DataFrame(columns))
    for name in ("similarity", "matched"):
        frame = data[name].to_series().rename("value").reset_index()
        parts.append(frame.assign(measure=name + "_" + frame["measure"].astype(str)))
    return pd.concat(parts).dropna(subset="value").fillna({"condition": MODELS})


def _early_late(data: xr.Dataset, measure: str) -> dict[str, float]:
    """What filters share beyond chance, in early against late layers, unit by unit."""
    matched = data["matched"].sel(measure=measure)
    excess = matched.sel(condition=MODELS) - matched.sel(condition=SHUFFLED)
    early, late = (excess.sel(layer=list(layers)).mean("layer").values for layers in (EARLY, LATE))
    test = paired_wilcoxon(early, late)
    return {"difference": median(early - late), "effect": test.rank_biserial, "p": test.p_value}
