"""The pictures of a recording from image files: in a folder, or in a zip file."""

import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.images.files import list_image_files, range_of_files, read_image_file
from v4egg.images.names import natural_key
from v4egg.images.pixels import Range, scaled, stacked

NAMED = 3  # how many names an error lists
_UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


@dataclass(frozen=True)
class ImageFiles:
    """The files of a folder or of a zip file.

    Attributes:
        place: the folder or the zip file.
        names: paths inside of it, in natural order.
        file: returns the file of a name; one of a zip file is extracted then.
    """

    place: Path
    names: list[str]
    file: Callable[[str], Path]


@contextmanager
def opened_images(place: str | Path) -> Iterator[ImageFiles]:
    """Open a folder or a zip file of images; what is extracted is removed at the end.

    Args:
        place: a folder, of which image files in it and its subfolders count, or a zip file, of which all files count
            but hidden ones and what macOS adds.

    Raises:
        V4eggError: there is no such folder or file, it is damaged, or it holds no image.
    """
    place = Path(place)
    if not place.is_file():
        names = [file.relative_to(place).as_posix() for file in list_image_files(place)]
        yield ImageFiles(place, names, place.joinpath)
        return
    with _one_line_zip_errors(place), zipfile.ZipFile(place) as archive, tempfile.TemporaryDirectory() as folder:
        names = sorted(_members(archive), key=natural_key)
        if not names:
            raise V4eggError(f"{place}: no images in the zip file; give another one")
        files = {name: Path(folder, f"{i}{PurePosixPath(name).suffix.lower()}") for i, name in enumerate(names)}

        def extract(name: str) -> Path:
            with _one_line_zip_errors(place):
                if not files[name].exists():
                    files[name].write_bytes(archive.read(name))
                return files[name]

        try:
            yield ImageFiles(place, names, extract)
        except V4eggError as error:  # name the file in the zip file, not where it was extracted
            at = next((name for name, file in files.items() if f"{file}:" in str(error)), None)
            if at is None:
                raise
            raise V4eggError(str(error).replace(f"{files[at]}:", f"{place}: {at}:")) from error


def _members(archive: zipfile.ZipFile) -> list[str]:
    """Names of the files that are images, as far as names tell."""
    files = (info.filename for info in archive.infolist() if not info.is_dir())
    return [name for name in files if not any(p == "__MACOSX" or p.startswith(".") for p in PurePosixPath(name).parts)]


@contextmanager
def _one_line_zip_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except V4eggError:
        raise
    except _UNREADABLE_ZIP as error:
        raise V4eggError(f"{place}: a truncated or damaged zip file ({error}); download it again") from error


def read_pictures(
    files: Sequence[Path],
    names: Sequence[str],
    *,
    where: str,
    size: int | None = None,
    size_key: str | None = None,
    pixel_range: Range | None = None,
    background: float = 0.5,
) -> np.ndarray:
    """Read image files as one source of images.

    Args:
        files: the files, one per picture.
        names: how errors name each of them.
        where: what holds them, for errors.
        size: px of the shorter side of the returned pictures; larger ones are reduced one by one, so that a folder of
            large photographs does not have to fit into memory. None: as they are.
        size_key: the configuration key of ``size``, for the error.
        pixel_range: the values that are black and white; None: as dtype and values of all files say.
        background: grey level behind transparent pictures, in units of [0, 1].

    Returns:
        uint8 (picture, 1 or 3 channels, y, x).

    Raises:
        V4eggError: a file is unreadable, the files do not say which values are black and white, a picture is smaller
            than ``size``, or the pictures are of several sizes.
    """
    used = range_of_files(files, where=where, value_range=pixel_range)

    def picture(file: Path, name: str) -> np.ndarray:
        pixels = scaled(read_image_file(file), used, where=f"{where}: {name}", background=background)
        return pixels if size is None else reduced(pixels, size, f"{where}: {name}")

    remedy = "make them equal" + ("" if size_key is None else f", or set {size_key} to reduce them")
    return stacked(map(picture, files, names), len(files), where=where, remedy=remedy)


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
