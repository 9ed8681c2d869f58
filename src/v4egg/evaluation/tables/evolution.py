"""Numbers of the figure ``evolution``: how far evolved images exceed each neuron's best natural image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.tables.common import QUARTILES
from v4egg.io import stores
from v4egg.stats.activation_scales import evolved_over_natural

COLUMNS = ["condition", "measure", "statistic", "group", "neuron", "presentations", "value"]


def table(conditions: Sequence[str | Path]) -> pd.DataFrame:
    """Final and running activation of evolved images, divided by that of the best natural image; one number per row.

    Args:
        conditions: Stores of kind ``evolution``.

    Returns:
        Columns: ``condition``; ``measure``, which is ``evolved_over_natural`` (noiseless activation of the evolved
        image over that of the neuron's best natural image) or ``mean_activation`` (the mean over the images of a round,
        likewise divided); ``statistic``, which is ``neuron`` for the value of one neuron and, over neurons, ``q25``,
        ``median``, ``q75``, ``share_above_1`` and ``n``; ``group`` of neurons (empty: all); ``neuron``;
        ``presentations`` until then (of ``mean_activation``); ``value``. Neurons whose best natural image does not
        activate them are left out.

    Raises:
        V4eggError: No store is given.
    """
    parts = []
    for name, data in _read(conditions).items():
        parts.append(_final(data).assign(condition=name, measure="evolved_over_natural"))
        parts.append(_curves(data).assign(condition=name, measure="mean_activation"))
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _read(conditions: Sequence[str | Path]) -> dict[str, xr.Dataset]:
    """The ``evolution`` stores by the names of their conditions, in memory."""
    if not conditions:
        raise V4eggError("evolution: no stores are given; name conditions under evolution.conditions")
    loaded = [stores.load(path, "evolution").load() for path in conditions]
    return {str(data.attrs["condition"]): data for data in loaded}


def over_neurons(values: pd.Series) -> dict[str, float]:
    """Quartiles over neurons, the share of neurons above 1, and their number."""
    share = float((values > 1).mean()) if len(values) else np.nan
    return {
        **{name: float(values.quantile(q)) for name, q in QUARTILES.items()},
        "share_above_1": share,
        "n": len(values),
    }


def _final(data: xr.Dataset) -> pd.DataFrame:
    final = data["evolved_over_natural"].to_series().dropna()
    groups = data["group"].to_series()
    each = pd.DataFrame({"neuron": final.index, "group": groups[final.index].values, "value": final.values})
    rows = [
        {"group": group, "statistic": name, "value": value}
        for group, values in [("", final), *final.groupby(groups[final.index])]
        for name, value in over_neurons(values).items()
    ]
    return pd.concat([each.assign(statistic="neuron"), pd.DataFrame(rows)])


def _curves(data: xr.Dataset) -> pd.DataFrame:
    """Quartiles over neurons of a round's noiseless activation; rounds whose scores are missing are left out."""
    noiseless = data["noiseless"].transpose("round", "neuron").values
    ratios = evolved_over_natural(noiseless, data["natural"].values)
    presentations = data["presentations"].transpose("round", "neuron").values.max(1)
    rows = []
    for n_presentations, values in zip(presentations, ratios, strict=True):
        values = values[np.isfinite(values)]
        rows += [(name, n_presentations, np.quantile(values, q)) for name, q in QUARTILES.items() if values.size]
    return pd.DataFrame(rows, columns=["statistic", "presentations", "value"])
