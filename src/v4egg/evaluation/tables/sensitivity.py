"""Numbers of the figure ``sensitivity``: how much each setting of the evolution matters."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.tables.evolution import over_neurons
from v4egg.io import stores

COLUMNS = ["condition", "setting", "value", "departs", "statistic", "neuron", "evolved_over_natural"]


def table(conditions: Sequence[str | Path]) -> pd.DataFrame:
    """Activation of the evolved image over the best natural one when one setting departs from its condition.

    Args:
        conditions: Stores of kind ``evolution``: the conditions, and those in which one setting departs from them.

    Returns:
        Columns: ``condition`` from which the setting departs; ``setting``; its ``value``; ``departs`` (False for the
        condition itself); ``statistic``, which is ``neuron`` and, over neurons, ``q25``, ``median``, ``q75``,
        ``share_above_1`` and ``n``; ``neuron``; ``evolved_over_natural``, the number itself.

    Raises:
        V4eggError: No store departs from a condition that is given.
    """
    loaded = {str(data.attrs["condition"]): data for data in (stores.load(p, "evolution").load() for p in conditions)}
    parts = []
    for data in loaded.values():
        swept = json.loads(data.attrs.get("swept", "{}"))
        if swept and swept["condition"] in loaded:
            parts.append(_numbers(data, swept["setting"], swept["condition"], departs=True))
    if not parts:
        raise V4eggError(
            "sensitivity: no store departs from a condition; name settings under evolution.conditions.vary"
        )
    pairs = pd.concat(parts)[["condition", "setting"]].drop_duplicates()
    parts += [_numbers(loaded[base], setting, base, departs=False) for base, setting in pairs.itertuples(index=False)]
    return pd.concat(parts).sort_values(["condition", "setting", "value"], kind="stable").reset_index(drop=True)


def _numbers(data: xr.Dataset, setting: str, base: str, *, departs: bool) -> pd.DataFrame:
    value = json.loads(data.attrs["settings"])[setting]
    each = data["evolved_over_natural"].to_series().dropna()
    rows = [{"statistic": "neuron", "neuron": neuron, "evolved_over_natural": a} for neuron, a in each.items()]
    rows += [{"statistic": name, "evolved_over_natural": number} for name, number in over_neurons(each).items()]
    head: dict[str, Any] = {"condition": base, "setting": setting, "value": float(value), "departs": departs}
    return pd.DataFrame(rows).assign(**head).reindex(columns=COLUMNS)
