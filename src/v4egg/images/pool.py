"""The image pool: images of sessions and of bundled photographs, without any test image, that the prior learns from.

The pool and any folder of images can be read in batches.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image, UnidentifiedImageError

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.images.processing import conform
from v4egg.io import stores

Batch = tuple[np.ndarray, list[str]]  # uint8 images (n, c, y, x) and the source of each
IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


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


def folder_batches(folder: str | Path, batch_size: int, *, size: int, channels: int) -> Iterator[Batch]:
    """Yield the central squares of all image files in a folder and its subfolders, in the order of their names.

    Files are listed while they are read, so that folders of millions of images take no memory.

    Args:
        folder: searched with its subfolders.
        batch_size: images per batch.
        size: side of the returned images in px.
        channels: 1 (grey) or 3 (RGB).

    Yields:
        uint8 (n, channels, size, size), and the files' paths relative to the folder.

    Raises:
        V4eggError: there is no such folder, it contains no image, or a file cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise V4eggError(f"{folder}: there is no such folder of images; correct natural.folder")
    paths = _image_files(folder)
    empty = True
    while chunk := list(islice(paths, batch_size)):
        empty = False
        images = np.concatenate([conform(_square(path)[None], size, channels) for path in chunk])
        yield images, [str(path.relative_to(folder)) for path in chunk]
    if empty:
        raise V4eggError(f"{folder}: contains no image ({', '.join(IMAGE_FILES)}); correct natural.folder")


def _image_files(folder: Path) -> Iterator[Path]:
    for subfolder, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(subfolder, name) for name in sorted(files) if name.lower().endswith(IMAGE_FILES))


def _square(path: Path) -> np.ndarray:
    """The central square of an image file, RGB uint8 (3, side, side)."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise V4eggError(f"{path}: not a readable image ({error}); remove it or replace it") from error
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side].transpose(2, 0, 1)
