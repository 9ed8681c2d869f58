"""Numbers of the figure ``mei_gallery``: which image of each unit is shown, and its z-score under a judge."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import GENERATORS, best_images, image_of, load_transfer, mei_stores
from v4egg.evaluation.independence import most_independent, shares_weights_by_judge
from v4egg.evaluation.tables.common import Row
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL as NATURAL

MAX_UNITS = 12
COLUMNS = ["method", "arch", "unit", "sample", "natural_image", "generators_activation", "judge", "zscore"]


def table(
    transfer: str | Path, meis: Sequence[str | Path], units: int = MAX_UNITS, chosen: Sequence[str] | None = None
) -> pd.DataFrame:
    """The image of each unit, method and architecture that the generators rate highest; one image per row.

    Args:
        transfer: The ``transfer`` store.
        meis: Stores of kind ``mei``.
        units: How many units are shown at most.
        chosen: Unit ids to choose among, in this order; by default all of the transfer store.

    Returns:
        Columns: ``method``, ``arch``, ``unit``; ``sample`` of a synthesised image; ``natural_image``, the id of the
        model-selected natural image; ``generators_activation``; ``judge``, the most independent one (the generators
        themselves where every judge shares weights with them), and ``zscore``, its response in standard deviations from
        its mean response to natural images. Images that were not made are left out.

    Raises:
        V4eggError: A unit asked for is not in the transfer store, or a ``mei`` store lacks its attributes.
    """
    judged = _judged(transfer, units, chosen)
    best, batches = best_images(judged), mei_stores(meis)
    methods = dict.fromkeys([*map(str, judged["method"].values), *(method for method, _ in batches)])
    archs = [str(arch) for arch in judged["arch"].values]
    pairs = [(method, arch) for method in methods if method != NATURAL for arch in archs if (method, arch) in batches]
    rows = [row for arch in archs for row in _natural_rows(judged, best, arch)]
    rows += [row for pair in pairs for row in _made_rows(judged, best, batches[pair], *pair)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged(transfer: str | Path, units: int, chosen: Sequence[str] | None) -> xr.Dataset:
    judged = load_transfer(transfer)
    judged_units = [str(unit) for unit in judged["unit"].values]
    chosen = list(chosen) if chosen else judged_units
    unknown = [unit for unit in chosen if unit not in judged_units]
    if unknown or not chosen:
        raise V4eggError(f"{transfer}: has no unit {unknown or 'at all'}; choose among its {len(judged_units)} units")
    return judged.sel(unit=chosen[:units])


def _natural_rows(judged: xr.Dataset, best: xr.Dataset, arch: str) -> list[Row]:
    of_arch = judged.sel(arch=arch)
    return [
        (NATURAL, arch, unit, "", str(of_arch["model_selected_natural"].sel(unit=unit).item()), *numbers)
        for unit, numbers in _numbers(judged, best, NATURAL, arch).items()
        if np.isfinite(of_arch["natural_image"].sel(unit=unit).values).all()
    ]


def _made_rows(
    judged: xr.Dataset, best: xr.Dataset, batches: Sequence[xr.Dataset], method: str, arch: str
) -> list[Row]:
    if method not in best["method"].values:
        return []
    samples = best["sample"].sel({"method": method, "arch": arch})
    return [
        (method, arch, unit, samples.sel(unit=unit).item(), "", *numbers)
        for unit, numbers in _numbers(judged, best, method, arch).items()
        if image_of(batches, unit, samples.sel(unit=unit).item()) is not None
    ]


def _numbers(judged: xr.Dataset, best: xr.Dataset, method: str, arch: str) -> dict[str, tuple[float, str, float]]:
    """Unit -> activation of the generators, the most independent judge of the architecture, and its z-score."""
    of_arch = judged.sel(arch=arch)
    judge = most_independent(shares_weights_by_judge(of_arch)) or GENERATORS
    units = [str(unit) for unit in best["unit"].values]
    if method not in best["method"].values:
        return dict.fromkeys(units, (np.nan, judge, np.nan))
    scores = best.sel({"method": method, "arch": arch})
    activation, zscore = scores["activation"].sel(judge=GENERATORS), scores["zscore"].sel(judge=judge)
    return {unit: (float(activation.sel(unit=unit)), judge, float(zscore.sel(unit=unit))) for unit in units}
