"""Which units get images: by the validators' prediction on validation images, never by the outcome of synthesis."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError


def rank_units(scores: xr.Dataset, *, sessions: Sequence[str], min_correlation: float) -> xr.Dataset:
    """The well-predicted units of ``sessions``, best first: whatever number is wanted later, the order stays.

    A unit qualifies where the validators of every architecture reach ``min_correlation`` on the validation images.
    Ranked by the mean over architectures.

    Raises:
        V4eggError: no unit qualifies.
    """
    correlation = scores["correlation_to_average"].sel(member="validators", split="validation").load()
    correlation = correlation.isel(unit=np.isin(scores["session"].values.astype(str), list(sessions)))
    lowest = correlation.min("arch", skipna=False)
    qualified = correlation.isel(unit=np.flatnonzero(lowest.values >= min_correlation))
    if qualified.sizes["unit"] == 0:
        best = float(lowest.max()) if lowest.size else float("nan")
        raise V4eggError(
            f"no unit of {', '.join(sessions)} reaches targets.min_correlation {min_correlation} (best {best:.2f}); "
            "lower it or train longer"
        )
    order = np.argsort(-qualified.mean("arch").values, kind="stable")
    chosen = qualified.isel(unit=order).drop_vars(["member", "split"])
    return xr.Dataset({"validator_correlation": chosen.transpose("arch", "unit")})
