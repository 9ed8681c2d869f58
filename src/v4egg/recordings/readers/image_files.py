"""The pictures of a recording from image files: those of a folder, found by the names that presentations give them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.images.files import range_of_files, read_image_file
from v4egg.images.pixels import Range, scaled, stacked

NAMED = 3  # how many names an error lists


def read_pictures(
    files: Sequence[Path],
    *,
    where: str,
    size: int | None = None,
    pixel_range: Range | None = None,
    background: float = 0.5,
) -> np.ndarray:
    """Read image files as one source of images.

    Args:
        files: the files, one per picture.
        where: what holds them, for errors.
        size: px of the shorter side of the returned pictures; larger ones are reduced one by one, so that a folder of
            large photographs does not have to fit into memory. None: as they are.
        pixel_range: the values that are black and white; None: as dtype and values of all files say.
        background: grey level behind transparent pictures, in units of [0, 1].

    Returns:
        uint8 (picture, 1 or 3 channels, y, x).

    Raises:
        V4eggError: a file is unreadable, the files do not say which values are black and white, a picture is smaller
            than ``size``, or the pictures are of several sizes.
    """
    used = range_of_files(files, where=where, value_range=pixel_range)
    pictures = []
    for file in files:
        picture = scaled(read_image_file(file), used, where=str(file), background=background)
        pictures.append(picture if size is None else reduced(picture, size, str(file)))
    return stacked(pictures, where=where)


def reduced(picture: np.ndarray, size: int, where: str) -> np.ndarray:
    """Reduce a picture, with an antialiasing bilinear filter as :func:`v4egg.images.processing.resize` does.

    Args:
        picture: uint8 (1 or 3 channels, y, x).
        size: px of its shorter side after that.
        where: the file, for errors.

    Returns:
        uint8 (channel, y, x).

    Raises:
        V4eggError: the picture is smaller than that.

    Example:
        >>> reduced(np.full((3, 40, 60), 7, "uint8"), 20, "a.png").shape
        (3, 20, 30)
    """
    height, width = picture.shape[1:]
    shorter = min(height, width)
    if shorter == size:
        return picture
    if shorter < size:
        raise V4eggError(f"{where}: {width} x {height} px are fewer than image_size {size}; lower image_size")
    target = (round(width * size / shorter), round(height * size / shorter))
    channels = [np.asarray(Image.fromarray(one).resize(target, Image.Resampling.BILINEAR)) for one in picture]
    return np.stack(channels)


def missing_images(ids: Sequence[object], places: Sequence[int | None], where: str, images: int, remedy: str) -> None:
    """Refuse stimuli without an image.

    Args:
        ids: the stimulus of each presentation.
        places: position of its image, or None.
        where: the file and column of the stimuli.
        images: number of images that there are.
        remedy: what to do, for the error.

    Raises:
        V4eggError: a stimulus has no image; names some.
    """
    lost = list(dict.fromkeys(str(value) for value, place in zip(ids, places, strict=True) if place is None))
    if lost:
        raise V4eggError(
            f"{where}: {len(lost)} stimuli have no image among {images}, such as {', '.join(lost[:NAMED])}; {remedy}"
        )
