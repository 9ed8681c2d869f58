"""Numbers of the figure ``dot_detector``: dot indices of all units, and what ablation leaves of the best one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.io import stores

COLUMNS = ["model_source", "measure", "unit", "layer", "filter", "removed", "draw", "value"]


def table(detectors: Sequence[str | Path]) -> pd.DataFrame:
    """The search for a dot detector among compact models, and its circuit; one number per row.

    Args:
        detectors: Stores of kind ``dot_detector``, one per set of compact models.

    Returns:
        Columns: ``model_source``, ``measure``, ``unit``, ``layer``, ``filter``, ``removed`` (number of filters),
        ``draw``,
        ``value``. Of all units ``dot_index``, ``dot_response``, ``rival_response``; over units (``unit`` empty)
        ``n_units`` with a dot index and ``n_prefer_dots``, those whose index is above 0. Of the unit with the highest
        index, by filter ``contribution``, ``rival_contribution``, ``filter_index``, ``share_lost`` (contribution over
        the response to the best dot) and ``shown`` (place among the filters whose maps are drawn); by number of removed
        filters ``ablated``, ``ablated_random`` (one per draw), ``random_low``, ``random_median`` and ``random_high``
        (smallest, median and largest draw) and ``share_below``, of random draws that leave less than the chosen filters
        do; and ``selectivity``, the response to the best dot minus that to its rival.

    Raises:
        V4eggError: No store is given.
    """
    if not detectors:
        raise V4eggError("dot detector: no stores are given; name compact models under circuits.models")
    parts = []
    for data in (stores.load(path, "dot_detector").load() for path in detectors):
        of_best_unit = _of_best_unit(data).assign(unit=data.attrs["unit"])
        whole = pd.concat([_of_all_units(data), of_best_unit]).assign(model_source=data.attrs["model_source"])
        parts.append(whole.dropna(subset="value"))
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _long(values: xr.DataArray, measure: str) -> pd.DataFrame:
    return values.to_series().rename("value").reset_index().assign(measure=measure)


def _of_all_units(data: xr.Dataset) -> pd.DataFrame:
    index = data["dot_index"].values
    over = {"n_units": np.isfinite(index).sum(), "n_prefer_dots": (index > 0).sum()}
    rows = [{"measure": name, "unit": "", "value": float(value)} for name, value in over.items()]
    names = ("dot_index", "dot_response", "rival_response")
    return pd.concat([*(_long(data[name], name) for name in names), pd.DataFrame(rows)])


def _of_best_unit(data: xr.Dataset) -> pd.DataFrame:
    names = ("contribution", "rival_contribution", "filter_index", "ablated", "ablated_random")
    random = data["ablated_random"]
    response = float(data["dot_response"].sel(unit=data.attrs["unit"]))
    computed = {
        "share_below": (random < data["ablated"]).where(data["ablated"].notnull()).mean("draw"),
        "random_low": random.min("draw"),
        "random_median": random.median("draw"),
        "random_high": random.max("draw"),
        "share_lost": data["contribution"] / response,
    }
    ranks = data["rank"].to_series().rename("filter").reset_index().rename(columns={"shown": "value"})
    ranks = ranks[ranks["filter"] >= 0].assign(measure="shown")
    selectivity = pd.DataFrame([{"measure": "selectivity", "value": float(data.attrs["selectivity"])}])
    variables = {name: data[name] for name in names}
    return pd.concat([*(_long(values, name) for name, values in (variables | computed).items()), ranks, selectivity])
