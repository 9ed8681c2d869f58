"""Compact models in ``summary.json``: their accuracy and size, and the transfer of their adversarial images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from v4egg.compact.network import map_size, parameters_of
from v4egg.evaluation.adversarial import carried_over, exceeds_random, movements
from v4egg.io import stores


def compact_numbers(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Accuracy and size of compact models, as medians over the units of each session.

    Args:
        paths: stores of kind ``compact``, one per session.

    Returns:
        For each session, ``n_units``, ``teacher_correlation``, ``published_parameters`` (number of parameters of the
        published models) and, for each stage, ``r2_to_teacher``, ``correlation_to_average``, ``parameters`` and
        ``compression`` (the teacher's number of parameters divided by ``parameters``). Numbers that are missing or
        not finite are omitted.
    """
    return dict(_session(path) for path in paths)


def adversarial_numbers(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Transfer of adversarial images to the judges at the largest epsilon, over units and directions.

    Args:
        paths: stores of kind ``adversarial``.

    Returns:
        For each ``<model_source>-<session>``, ``epsilon`` (RMS change, for intensities in [0, 1]) and
        ``judges.<judge>`` with ``shares_weights``, ``above_random`` (fraction of units whose response adversarial
        images change more than random changes of the same norm do on average) and ``carried_over`` (the judge's change
        in response relative to that of the compact models themselves, median). Numbers that are not finite are omitted.
    """
    return dict(_adversarial(path) for path in paths)


def parameter_numbers(store: xr.Dataset) -> xr.DataArray:
    """Number of parameters of each network (stage, unit) in a store of kind ``compact``.

    Args:
        store: the store, with ``filters`` (stage, unit, layer) and the attributes ``size`` and ``strides``.

    Returns:
        Numbers of parameters (stage, unit).
    """
    side = map_size(int(store.attrs["size"]), store.attrs["strides"])
    filters = store["filters"].transpose("stage", "unit", "layer")
    sizes = [[parameters_of(widths, side) for widths in stage] for stage in filters.values.tolist()]
    return xr.DataArray(sizes, dims=("stage", "unit"), coords={name: store[name] for name in ("stage", "unit")})


def _session(path: str | Path) -> tuple[str, dict[str, Any]]:
    """The session of a ``compact`` store, and its numbers."""
    store = stores.load(path, "compact").load()
    summary: dict[str, Any] = {"n_units": store.sizes["unit"]}
    summary |= _finite({"teacher_correlation": _median(store.get("teacher_correlation"))})
    published = store.get("published_parameters")
    if published is not None and (published > 0).any():
        summary["published_parameters"] = float(np.median(published.values[published.values > 0]))
    sizes = parameter_numbers(store)
    for stage in map(str, store["stage"].values):
        of_stage = store.sel(stage=stage)
        parameters = float(sizes.sel(stage=stage).median())
        numbers = {name: _median(of_stage.get(name)) for name in ("r2_to_teacher", "correlation_to_average")}
        compression = store.attrs["teacher_parameters"] / parameters
        summary[stage] = _finite(numbers) | {"parameters": parameters, "compression": compression}
    return str(store.attrs["session"]), summary


def _adversarial(path: str | Path) -> tuple[str, dict[str, Any]]:
    """The model source and session of an ``adversarial`` store, and its numbers."""
    store = stores.load(path, "adversarial").drop_vars(["image", "natural_image"]).load()
    changes = movements(store).isel(epsilon=-1)
    numbers = {"above_random": exceeds_random(changes)["mean"], "carried_over": carried_over(changes)}
    by_judge = {
        str(judge): _finite(
            {
                "above_random": _mean(numbers["above_random"].sel(judge=judge)),
                "carried_over": _median(numbers["carried_over"].sel(judge=judge)),
            }
        )
        | {"shares_weights": bool(store["shares_weights"].sel(judge=judge))}
        for judge in store["judge"].values
    }
    epsilon = {"epsilon": float(changes["epsilon"])}
    return f"{store.attrs['model_source']}-{store.attrs['session']}", epsilon | {"judges": by_judge}


def _median(values: xr.DataArray | None) -> float:
    return math.nan if values is None else float(values.median())


def _mean(values: xr.DataArray) -> float:
    return float(values.mean())


def _finite(numbers: dict[str, float]) -> dict[str, float]:
    """The finite numbers.

    Example:
        >>> _finite({"r2_to_teacher": 0.8, "correlation_to_average": math.nan})
        {'r2_to_teacher': 0.8}
    """
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
