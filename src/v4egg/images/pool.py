"""The image pool: images of sessions and of bundled photographs, without any test image, that the prior learns from.

The pool and any folder of images can be read in batches.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.images.aspect import Rule, square
from v4egg.images.files import range_of_files, read_image_file, walk_image_files
from v4egg.images.names import IMAGE_FILES
from v4egg.images.photographs import photograph_crops
from v4egg.images.pixels import Range, scaled
from v4egg.images.processing import conform
from v4egg.io import stores

Batch = tuple[np.ndarray, list[str]]  # uint8 images (n, c, y, x) and the source of each


def image_pool(
    sessions: Mapping[str, np.ndarray], *, size: int, channels: int, photographs: int, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Gather the images that the prior learns from.

    Args:
        sessions: session -> its images for the pool, uint8 (n, c, y, x), as
            :func:`v4egg.recordings.splits.images_that_fit` returns them: without test images.
        size: side of the pool's images in px.
        channels: 1 (grey) or 3 (RGB).
        photographs: number of crops of bundled photographs, from the parts that no simulated test image comes from.
        seed: of the crops.

    Returns:
        uint8 (n, channels, size, size), and the source of each image: a session or a photograph.

    Example:
        >>> images, sources = image_pool(
        ...     {"s1": np.zeros((2, 1, 8, 8), "uint8")}, size=16, channels=1, photographs=0, seed=0
        ... )
        >>> images.shape, sources
        ((2, 1, 16, 16), ['s1', 's1'])
    """
    parts: list[np.ndarray] = []
    sources: list[str] = []
    for session, images in sessions.items():
        parts.append(conform(images, size, channels))
        sources += [session] * len(images)
    if photographs:
        crops, names = photograph_crops(photographs, size, "fit", key=(seed, "pool"))
        parts.append(conform(crops, size, channels))
        sources += names
    return np.concatenate(parts), sources


def save_pool(images: np.ndarray, sources: Sequence[str], path: str | Path, **provenance: Any) -> None:
    """Write the image pool to a store of kind ``pool``.

    Args:
        images: uint8 (n, channel, y, x).
        sources: name of each image's source.
        path: the Zarr store to write.
        provenance: ``config``, ``seed`` and ``inputs`` of :func:`v4egg.io.stores.save`.

    Raises:
        V4eggError: there is no image.
    """
    if len(images) == 0:
        raise V4eggError(f"{path}: the image pool is empty; add sessions or photographs to pool in the configuration")
    variables = {"images": (("image", "channel", "y", "x"), images), "source": ("image", np.asarray(sources, object))}
    stores.save(xr.Dataset(variables), path, "pool", **provenance)


def pool_batches(path: str | Path, batch_size: int) -> Iterator[Batch]:
    """Yield the images of a ``pool`` store in their order, one batch at a time, with their sources."""
    pool = stores.load(path, "pool")
    for start in range(0, pool.sizes["image"], batch_size):
        part = pool.isel(image=slice(start, start + batch_size))
        yield part["images"].values, [str(name) for name in part["source"].values]


def folder_batches(
    folder: str | Path,
    batch_size: int,
    *,
    size: int,
    channels: int,
    aspect: Rule | None = None,
    background: float = 0.5,
    pixel_range: Range | None = None,
) -> Iterator[Batch]:
    """Yield all images in a folder and its subfolders as squares, in natural order.

    Files are listed while they are read, so that folders of millions of images take no memory. They are one source of
    images for :func:`v4egg.images.pixels.range_of`.

    Args:
        folder: searched with its subfolders.
        batch_size: images per batch.
        size: side of the returned images in px.
        channels: 1 (grey) or 3 (RGB).
        aspect: what becomes of images that are not square, as in :func:`v4egg.images.aspect.square`.
        background: grey level behind transparent images and of bars, in units of [0, 1].
        pixel_range: the pixel values that are black and white; None: as dtype and values of all files say.

    Yields:
        uint8 (n, channels, size, size), and the files' paths relative to the folder.

    Raises:
        V4eggError: there is no such folder, it contains no image, or a file cannot be read without doubt.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise V4eggError(f"{folder}: there is no such folder of images; correct natural.folder")
    if next(walk_image_files(folder), None) is None:
        raise V4eggError(f"{folder}: contains no image ({', '.join(IMAGE_FILES)}); correct natural.folder")
    used = range_of_files(
        walk_image_files(folder), where=str(folder), value_range=pixel_range, key="natural.pixel_range"
    )
    paths = walk_image_files(folder)
    while chunk := list(islice(paths, batch_size)):
        images = (scaled(read_image_file(path), used, where=str(path), background=background) for path in chunk)
        squares = (square(image, aspect, background, str(path)) for image, path in zip(images, chunk, strict=True))
        parts = [conform(image[None], size, channels) for image in squares]
        yield np.concatenate(parts), [path.relative_to(folder).as_posix() for path in chunk]
