"""Compact models in numbers, for ``summary.json``: how accurate, how small, how far adversarial images reach."""

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
    """Medians over the units of each session of ``compact`` stores, by stage.

    ``<session>``: ``n_units``, ``teacher_correlation``, ``published_parameters`` where known and, for each stage,
    ``r2_to_teacher``, ``correlation_to_average``, ``parameters`` and ``compression``, the teacher's parameters by those
    of the median network; numbers that are not known are left out.
    """
    return dict(_session(path) for path in paths)


def adversarial_numbers(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Of ``adversarial`` stores at the largest epsilon, over units and directions.

    ``<models>-<session>``: ``epsilon`` (RMS, intensity 0-1) and ``judges.<judge>`` with ``shares_weights`` and, where
    known, ``above_random``: share of units that adversarial images move more than random ones of the same norm do on
    average; ``carried_over``: median share of the models' own movement that the judge shows too.
    """
    return dict(_adversarial(path) for path in paths)


def parameter_numbers(store: xr.Dataset) -> xr.DataArray:
    """How many numbers make each network (stage, unit) of a ``compact`` store."""
    side = map_size(int(store.attrs["size"]), store.attrs["strides"])
    filters = store["filters"].transpose("stage", "unit", "layer")
    sizes = [[parameters_of(widths, side) for widths in stage] for stage in filters.values.tolist()]
    return xr.DataArray(sizes, dims=("stage", "unit"), coords={name: store[name] for name in ("stage", "unit")})


def _session(path: str | Path) -> tuple[str, dict[str, Any]]:
    store = stores.load(path, "compact").load()
    found: dict[str, Any] = {"n_units": store.sizes["unit"]}
    found |= _known({"teacher_correlation": _median(store.get("teacher_correlation"))})
    published = store.get("published_parameters")
    if published is not None and (published > 0).any():
        found["published_parameters"] = float(np.median(published.values[published.values > 0]))
    sizes = parameter_numbers(store)
    for stage in map(str, store["stage"].values):
        here = store.sel(stage=stage)
        parameters = float(sizes.sel(stage=stage).median())
        numbers = {name: _median(here.get(name)) for name in ("r2_to_teacher", "correlation_to_average")}
        compression = store.attrs["teacher_parameters"] / parameters
        found[stage] = _known(numbers) | {"parameters": parameters, "compression": compression}
    return str(store.attrs["session"]), found


def _adversarial(path: str | Path) -> tuple[str, dict[str, Any]]:
    store = stores.load(path, "adversarial").drop_vars(["image", "natural_image"]).load()
    moved = movements(store).isel(epsilon=-1)
    numbers = {"above_random": exceeds_random(moved)["mean"], "carried_over": carried_over(moved)}
    by_judge = {
        str(judge): _known(
            {
                "above_random": _mean(numbers["above_random"].sel(judge=judge)),
                "carried_over": _median(numbers["carried_over"].sel(judge=judge)),
            }
        )
        | {"shares_weights": bool(store["shares_weights"].sel(judge=judge))}
        for judge in store["judge"].values
    }
    epsilon = {"epsilon": float(moved["epsilon"])}
    return f"{store.attrs['model_source']}-{store.attrs['session']}", epsilon | {"judges": by_judge}


def _median(values: xr.DataArray | None) -> float:
    return math.nan if values is None else float(values.median())


def _mean(values: xr.DataArray) -> float:
    return float(values.mean())


def _known(numbers: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
