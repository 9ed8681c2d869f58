"""Synthesised images and the judges' responses to them, read for figures and summary.

The rule by which one image stands for a unit, :func:`best_images`, is the same for every method: the image to which the
generators, which made it, respond most. No independent judge takes part in the choice.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.transfer import MEASURES
from v4egg.io import stores

GENERATORS = "generators"


def load_transfer(path: str | Path) -> xr.Dataset:
    """Read a transfer store into memory.

    Raises:
        V4eggError: The generators are not among its judges.
    """
    transfer = stores.load(path, "transfer")
    stores.require(transfer, "judge", GENERATORS, path)
    return transfer.load()


def best_images(transfer: xr.Dataset) -> xr.Dataset:
    """Each unit's image that the generators rate highest, method by method and architecture by architecture.

    Args:
        transfer: What :func:`load_transfer` returns.

    Returns:
        The measures of :data:`v4egg.evaluation.transfer.MEASURES` with dims (method, arch, unit, judge), and the
        coordinate ``sample`` (method, arch, unit) of the chosen image; NaN where a method made no image for the unit.
    """
    activation = transfer["activation"].sel(judge=GENERATORS, drop=True)
    judged = transfer[list(MEASURES)]
    if "sample" not in judged.coords:
        judged = judged.assign_coords(sample=np.arange(judged.sizes["sample"]))
    best = activation.fillna(-np.inf).argmax("sample")
    return judged.isel(sample=best).where(activation.notnull().any("sample"))


def mei_stores(paths: Sequence[str | Path]) -> dict[tuple[str, str], list[xr.Dataset]]:
    """The ``mei`` stores by (method, arch), opened lazily; several batches of units stay a list.

    Raises:
        V4eggError: a store does not say its method or architecture.
    """
    groups: dict[tuple[str, str], list[xr.Dataset]] = {}
    for path in paths:
        store = stores.load(path, "mei")
        missing = [name for name in ("method", "arch") if name not in store.attrs]
        if missing:
            raise V4eggError(f"{path}: the attribute {missing[0]} is missing; run the rule that makes it again")
        groups.setdefault((store.attrs["method"], store.attrs["arch"]), []).append(store)
    return groups


def gather(batches: Sequence[xr.Dataset], variable: str) -> xr.DataArray:
    """One variable of several batches of units, in memory, joined along ``unit``."""
    return xr.concat([batch[variable].load() for batch in batches], "unit")


def image_of(batches: Sequence[xr.Dataset], unit: str, sample: object) -> np.ndarray | None:
    """The image (channel, y, x) of a unit and sample, from whichever ``mei`` store has it; None if none was made."""
    for batch in (batch for batch in batches if unit in batch["unit"].values):
        position = np.flatnonzero(batch["sample"].values == sample)  # xarray numbers a dim without labels from 0
        if position.size:
            image = batch["image"].sel(unit=unit).isel(sample=position[0]).values
            return image if np.isfinite(image).all() else None
    return None
