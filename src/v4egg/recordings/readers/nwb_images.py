"""The images of an NWB session, from a container in the file, a stack of frames, or a folder of image files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError
from pynwb.base import Images
from pynwb.image import ImageSeries

from v4egg.errors import V4eggError

Source: TypeAlias = Images | ImageSeries | Path
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_NAMED = 3  # how many ids an error names


def stimulus_ids(values: np.ndarray) -> list[str | int | None]:
    """Convert the values of a stimulus column to ids.

    Returns:
        For each row, text or a whole number; None where the row shows no image (empty, NaN or negative).

    Example:
        >>> stimulus_ids(np.array([3.0, -1.0, np.nan]))
        [3, None, None]
        >>> stimulus_ids(np.array(["a.png", " "]))
        ['a.png', None]
    """
    return [_stimulus_id(value) for value in values]


def shown(path: Path, source: Source, ids: pd.Series, column: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Read the images that were shown.

    Args:
        path: the NWB file, for error messages.
        source: a container of images, a stack of frames, or a folder of image files.
        ids: the stimulus of each presentation.
        column: name of the stimulus column, for error messages.

    Returns:
        uint8 array (image, 1 or 3 channels, y, x), in the order of the source; the images' names; and for each
        presentation the position of its image on the image axis.

    Raises:
        V4eggError: a stimulus without an image, or images that are unreadable, of several sizes or not 8 bit.
    """
    names, read = _listing(path, source)
    places = _places(names, ids)
    missing = sorted({str(value) for value, place in zip(ids, places, strict=True) if place is None})
    if missing:
        first = ", ".join(missing[:_NAMED])
        raise V4eggError(
            f"{path}: {len(missing)} values of {column} have no image among the {len(names)} of {_name(source)}, "
            f"such as {first}; set columns.stimulus or columns.images"
        )
    used, position = np.unique(np.array(places, int), return_inverse=True)
    pictures = [_channels_first(path, names[place], read(int(place))) for place in used]
    shapes = sorted({picture.shape for picture in pictures})
    if len(shapes) > 1:
        sizes = ", ".join("x".join(map(str, shape)) for shape in shapes[:_NAMED])
        raise V4eggError(
            f"{path}: images of {_name(source)} differ in channels x height x width: {sizes}; make them equal"
        )
    return np.stack(pictures), [names[place] for place in used], position


def _stimulus_id(value: Any) -> str | int | None:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return value.strip() if value.strip().lower() not in ("", "nan", "none") else None
    if value is None or not np.isfinite(value) or value < 0:
        return None
    return int(value) if float(value).is_integer() else str(value)


def _places(names: list[str], ids: pd.Series) -> list[int | None]:
    """Position of each id among the names: whole numbers are positions unless all of them are names."""
    by_name = {Path(name).stem: i for i, name in enumerate(names) if Path(name).suffix.lower() in _SUFFIXES}
    by_name |= {name: i for i, name in enumerate(names)}
    if not all(isinstance(value, int) for value in ids) or all(str(value) in by_name for value in ids):
        return [by_name.get(str(value), by_name.get(_stem(str(value)))) for value in ids]
    return [value if value < len(names) else None for value in ids]


def _stem(name: str) -> str:
    """A file's name without folder and image suffix, because stimulus columns often contain paths."""
    last = Path(name.replace("\\", "/")).name
    return Path(last).stem if Path(last).suffix.lower() in _SUFFIXES else last


def _listing(path: Path, source: Source) -> tuple[list[str], Callable[[int], np.ndarray]]:
    """Names of all images and a function that reads one."""
    if isinstance(source, Path):
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in _SUFFIXES)
        names, read = [file.name for file in files], lambda i: _read_file(files[i])
    elif isinstance(source, Images):
        pictures = list(source.order_of_images.data) if source.order_of_images is not None else _sorted_images(source)
        names, read = [picture.name for picture in pictures], lambda i: np.asarray(pictures[i].data)
    else:
        data = source.data
        if source.external_file is not None or data is None or data.ndim not in (3, 4):
            raise V4eggError(
                f"{path}: {_name(source)} contains no frames itself; name a folder of images in columns.images"
            )
        names, read = [f"{source.name}_{i:05d}" for i in range(len(data))], lambda i: np.asarray(data[i])
    if not names:
        raise V4eggError(f"{path}: no images in {_name(source)}; name another place in columns.images")
    return names, read


def _sorted_images(source: Images) -> list[Any]:
    return [source.images[name] for name in sorted(source.images)]


def _read_file(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise V4eggError(f"{file}: not a readable image; repair or remove it") from error


def _channels_first(path: Path, name: str, pixels: np.ndarray) -> np.ndarray:
    """uint8 (1 or 3 channels, y, x) of a grey, RGB or RGBA image; an alpha channel is dropped."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise V4eggError(f"{path}: image {name} has shape {pixels.shape}; expected (y, x) or (y, x, 3)")
    pixels = pixels[..., :3]
    if pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        pixels = np.round(pixels * 255)
    if not (pixels.min() >= 0 and pixels.max() <= 255):  # false for NaN too
        raise V4eggError(f"{path}: image {name} has values outside 0-255 (or 0-1 for floats); rescale it to 8 bits")
    return pixels.astype(np.uint8).transpose(2, 0, 1)


def _name(source: Source) -> str:
    return f"the folder {source.name}" if isinstance(source, Path) else f"/stimulus/.../{source.name}"
