"""The images that the prior learns from: of sessions and of bundled photographs, and never a test image.

They and any folder of images can be read as a stream, batch by batch.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image, UnidentifiedImageError

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.images.processing import conform
from v4egg.io import stores

Batch = tuple[np.ndarray, list[str]]  # uint8 images (n, c, y, x) and where each comes from
IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def image_pool(
    sessions: Mapping[str, np.ndarray], *, size: int, channels: int, photographs: int, seed: int
) -> tuple[np.ndarray, list[str]]:
    """The images that the prior learns from, uint8 (n, channels, size, size), and where each comes from.

    Args:
        sessions: session -> its images that belong to the pool, uint8 (n, c, y, x), as
            :func:`v4egg.recordings.splits.images_that_fit` returns them: never a test image.
        photographs: so many crops of bundled photographs, away from the parts that simulated test images come from.
    """
    parts, sources = [], []
    for session, images in sessions.items():
        parts.append(conform(images, size, channels))
        sources += [session] * len(images)
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


def pool_batches(path: str | Path, batch_size: int) -> Iterator[Batch]:
    """The images of a ``pool`` store in their order; only one batch is in memory."""
    pool = stores.load(path, "pool")
    for start in range(0, pool.sizes["image"], batch_size):
        part = pool.isel(image=slice(start, start + batch_size))
        yield part["images"].values, [str(name) for name in part["source"].values]


def folder_batches(folder: str | Path, batch_size: int, *, size: int, channels: int) -> Iterator[Batch]:
    """The image files of a folder and all below it, by name: their central squares, uint8 (n, channels, size, size).

    Sources are paths relative to the folder. Files are found on the way, so that millions of them need no list.

    Raises:
        V4eggError: there is no such folder, it holds no image, or a file cannot be read.
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
        raise V4eggError(f"{folder}: holds no image ({', '.join(IMAGE_FILES)}); correct natural.folder")


def _image_files(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder):
        below.sort()
        yield from (Path(place, name) for name in sorted(files) if name.lower().endswith(IMAGE_FILES))


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
