"""The images that the prior learns from: of sessions and of bundled photographs, and never a test image.

They and any folder of images can be read as a stream, batch by batch.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image, UnidentifiedImageError

from v4egg import stores
from v4egg.errors import V4eggError
from v4egg.photographs import photograph_crops
from v4egg.recordings.recording import Recording
from v4egg.splits import split_of
from v4egg.stimuli import conform

Batch = tuple[np.ndarray, list[str]]  # uint8 images (n, c, y, x) and where each comes from
IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


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
