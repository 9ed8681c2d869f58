"""What a prior paints when nothing guides it, beside crops of the pool that it learned from."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.images.processing import conform
from v4egg.priors.prior import Prior
from v4egg.priors.training import sample
from v4egg.seeding import numpy_generator, torch_generator

BATCH = 16  # images at once


def samples_beside_crops(
    prior: Prior, pool: xr.DataArray, *, n: int, steps: int, seed: int, progress: Callable = iter
) -> xr.Dataset:
    """``n`` unguided samples and 2 ``n`` different crops, two sets of equal size, of kind ``samples``.

    Args:
        prior: frozen.
        pool: uint8 images[image, channel, y, x], read where they are drawn; brought to the prior's size and colour.
        n, steps: samples, and denoising steps of each.
        seed: every sample has a generator of its own: batches do not matter.

    Raises:
        V4eggError: the pool holds fewer than 2 n images.
    """
    size = pool.sizes["image"]
    if size < 2 * n:
        raise V4eggError(
            f"samples: the pool holds {size} images, and 2 x {n} are compared; set samples.n to {size // 2}"
        )
    parts = [
        sample(prior, [torch_generator(seed, "samples", i) for i in range(first, min(first + BATCH, n))], steps)
        for first in progress(range(0, n, BATCH))
    ]
    rows = np.sort(numpy_generator(seed, "samples", "crops").choice(size, 2 * n, replace=False))
    crops = conform(pool.isel(image=rows).values, prior.image_shape[1], prior.image_shape[0])
    crops = crops[numpy_generator(seed, "samples", "order").permutation(2 * n)]  # no half is one source
    place = ("channel", "y", "x")
    return xr.Dataset(
        {
            "sample": (("sample", *place), np.concatenate([part.cpu().numpy() for part in parts])),
            "crop": (("crop", *place), crops.astype(np.float32) / 255),
        }
    )
