"""Unguided samples of a prior beside crops of the pool that it was trained on."""

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.images.processing import conform
from v4egg.priors.prior import Prior
from v4egg.priors.training import sample
from v4egg.seeding import numpy_generator, torch_generator

BATCH = 16  # images at once


def samples_beside_crops(
    prior: Prior,
    pool: xr.DataArray,
    *,
    n: int,
    steps: int,
    seed: int,
    progress: Callable[[range], Iterable[int]] = iter,
) -> xr.Dataset:
    """Draw n samples of a prior and 2 n different crops of its pool, which makes two sets of crops of the same size.

    Args:
        prior: frozen.
        pool: uint8 (image, channel, y, x); only the drawn crops are read, and converted to the prior's size and colour.
        n: number of samples.
        steps: denoising steps.
        seed: each sample has its own generator, so that results do not depend on batches.
        progress: wraps the range over batches, for a progress bar.

    Returns:
        A dataset of kind ``samples``.

    Raises:
        V4eggError: the pool has fewer than 2 n images.
    """
    size = pool.sizes["image"]
    if size < 2 * n:
        raise V4eggError(
            f"samples: the pool has {size} images, and 2 x {n} are needed; set samples.n to at most {size // 2}"
        )
    parts = [
        sample(prior, [torch_generator(seed, "samples", i) for i in range(first, min(first + BATCH, n))], steps)
        for first in progress(range(0, n, BATCH))
    ]
    rows = np.sort(numpy_generator(seed, "samples", "crops").choice(size, 2 * n, replace=False))
    crops = conform(pool.isel(image=rows).values, prior.image_shape[1], prior.image_shape[0])
    crops = crops[numpy_generator(seed, "samples", "order").permutation(2 * n)]  # so that sources mix in both halves
    place = ("channel", "y", "x")
    return xr.Dataset(
        {
            "sample": (("sample", *place), np.concatenate([part.cpu().numpy() for part in parts])),
            "crop": (("crop", *place), crops.astype(np.float32) / 255),
        }
    )
