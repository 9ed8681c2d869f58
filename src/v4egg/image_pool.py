"""The images that the prior learns from: of sessions and of bundled photographs, and never a test image."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from v4egg import stores
from v4egg.errors import V4eggError
from v4egg.photographs import photograph_crops
from v4egg.recordings.recording import Recording
from v4egg.splits import split_of
from v4egg.stimuli import conform


def image_pool(
    recordings: Sequence[Recording],
    splits: xr.Dataset,
    *,
    size: int,
    channels: int,
    sessions: bool,
    photographs: int,
    seed: int,
) -> tuple[np.ndarray, list[str]]:
    """The images that the prior learns from, uint8 (n, channels, size, size), and where each comes from.

    Args:
        recordings: every session; with ``sessions``, their train and validation images belong to the pool. Test images,
            and pictures that resemble one, never do.
        splits: of all sessions (kind ``splits``).
        photographs: so many crops of bundled photographs, away from the parts that simulated test images come from.
    """
    parts, sources = [], []
    for recording in recordings if sessions else ():
        fit = np.isin(split_of(splits, recording.session), ("train", "validation"))
        parts.append(conform(recording.images[fit], size, channels))
        sources += [recording.session] * int(fit.sum())
    if photographs:
        crops, names = photograph_crops(photographs, size, "fit", key=(seed, "pool"))
        parts.append(conform(crops, size, channels))
        sources += names
    return np.concatenate(parts), sources


def save_pool(images: np.ndarray, sources: Sequence[str], path, **provenance) -> None:
    """Write the image pool, uint8 (n, c, y, x), with the name of each image's source."""
    if len(images) == 0:
        raise V4eggError(f"{path}: the image pool is empty; add sessions or photographs to pool in the configuration")
    variables = {"images": (("image", "channel", "y", "x"), images), "source": ("image", np.asarray(sources, object))}
    stores.save(xr.Dataset(variables), path, "pool", **provenance)
