"""Image files of a folder, in natural order, and their pixels as they are stored.

PNG, JPEG, WebP and BMP files are read by Pillow, TIFF files by tifffile. A picture is turned as its EXIF orientation
says. Colour profiles and gamma are not applied: pixels are what the file holds.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from v4egg.errors import V4eggError
from v4egg.images.names import IMAGE_FILES, natural_key
from v4egg.images.pixels import Range, range_of, split_alpha

TIFF_FILES = (".tif", ".tiff")
_ORIENTATION = 274  # tag of EXIF and TIFF
_COLOUR_16 = (2, 4, 6)  # colour types of PNG whose 16-bit pixels Pillow reduces to 8 bits
_READ_AS = {"1": "1", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGB", "PA": "RGBA", "F": "F"}
_UNREADABLE = (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError)


def walk_image_files(folder: str | Path) -> Iterator[Path]:
    """Yield the image files of a folder and its subfolders in natural order, while the folder is read.

    Hidden files and folders, whose names begin with a dot, are no images. Links to folders are followed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("img_10.png", "img_2.png", "notes.txt", ".img_3.png"):
        ...     (folder / name).touch()
        >>> [path.name for path in walk_image_files(folder)]
        ['img_2.png', 'img_10.png']
    """
    yield from _walk(Path(folder), (os.path.realpath(folder),))


def list_image_files(folder: str | Path) -> list[Path]:
    """Return the image files of a folder and its subfolders in natural order, as :func:`walk_image_files` yields them.

    Raises:
        V4eggError: there is no such folder, or it contains no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise V4eggError(f"{folder}: there is no such folder of images; correct its path")
    paths = list(walk_image_files(folder))
    if not paths:
        raise V4eggError(f"{folder}: contains no image ({', '.join(IMAGE_FILES)}); correct its path")
    return paths


def read_image_file(path: str | Path) -> np.ndarray:
    """Read the pixels of an image file as they are stored.

    Returns:
        (y, x), (y, x, 2: grey and alpha), (y, x, 3) or (y, x, 4: RGB and alpha), of the file's dtype: bool (1 bit),
        uint8, uint16, float32, ... . A palette is resolved, with its transparency.

    Raises:
        V4eggError: the file is unreadable, holds several images, or holds colours of another kind, such as CMYK.
    """
    path = Path(path)
    pixels, orientation = _read_tiff(path) if path.suffix.lower() in TIFF_FILES else _read_by_pillow(path)
    return _upright(pixels, orientation)


def range_of_files(
    paths: Iterable[Path], *, where: str, value_range: Range | None = None, key: str = "pixel_range"
) -> Range:
    """Return the values that are black and white in all files, as :func:`v4egg.images.pixels.range_of` does.

    Of files of 8 bits only headers are read, and as many images as it takes to see that they use their range, so that
    folders of millions of files are read once.

    Raises:
        V4eggError: as :func:`v4egg.images.pixels.range_of`, or a file is unreadable.
    """
    frames = _telling_frames(paths, value_range is None, where)
    return range_of(frames, where=where, value_range=value_range, key=key)


def _telling_frames(paths: Iterable[Path], skipping: bool, where: str) -> Iterator[np.ndarray]:
    """The frames that decide the range of a source: all of them, but of 8 bits only until they use their range."""
    bright = opaque = False
    for path in paths:
        bits, has_alpha = _header(path)
        if skipping and bits == "uint8" and bright and (opaque or not has_alpha):
            continue
        frame = read_image_file(path)
        if frame.dtype == np.uint8:
            colours, alpha = split_alpha(frame, where)
            bright = bright or bool(colours.max() > 1)
            opaque = opaque or (alpha is not None and bool(alpha.max() > 1))
        yield frame


def _header(path: Path) -> tuple[str, bool]:
    """``uint8`` for files whose pixels are bytes, else an empty text; and whether there may be an alpha channel."""
    if path.suffix.lower() in TIFF_FILES:
        return "", True
    try:
        with Image.open(path) as image:
            return "uint8" if image.mode in ("L", "LA", "RGB", "RGBA", "P", "PA") else "", image.has_transparency_data
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    with os.scandir(folder) as listing:
        entries = sorted((e for e in listing if not e.name.startswith(".")), key=lambda entry: natural_key(entry.name))
    for entry in entries:
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in above:  # a link to a folder that contains it
                yield from _walk(Path(entry.path), (*above, real))
        elif entry.name.lower().endswith(IMAGE_FILES):
            yield Path(entry.path)


def _read_by_pillow(path: Path) -> tuple[np.ndarray, int]:
    try:
        with Image.open(path) as image:
            refusal = _pillow_refuses(path, image)
            if not refusal:
                return _pillow_pixels(image), int(image.getexif().get(_ORIENTATION, 1))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    raise V4eggError(f"{path}: {refusal}")


def _pillow_refuses(path: Path, image: Image.Image) -> str:
    """Why an open image is not read, and what to do; empty where it is."""
    several = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"  # an MPO is a photograph with its previews
    if several:
        return "holds several images; save each as a file of its own"
    if image.mode not in _READ_AS and not image.mode.startswith("I;16") and image.mode != "I":
        return f"colours of kind {image.mode} are not read; save the image as grey or RGB"
    if image.format == "PNG" and _png_depth(path) in [(16, kind) for kind in _COLOUR_16]:
        return "a PNG of 16 bits with colours or alpha is not read in full; save it with 8 bits, or as a TIFF"
    if image.mode.startswith("I") and image.has_transparency_data:
        return "16-bit grey with a transparent level is not read; save the image without transparency"
    return ""


def _pillow_pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        return pixels.astype(np.uint16) if image.format == "PNG" else pixels
    mode = _READ_AS[image.mode]
    if image.has_transparency_data:
        mode = {"1": "LA", "L": "LA", "RGB": "RGBA"}.get(mode, mode)
    return np.array(image if image.mode == mode else image.convert(mode))


def _png_depth(path: Path) -> tuple[int, int]:
    """Bits per channel and colour type, from the header of a PNG file."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24], header[25]


def _read_tiff(path: Path) -> tuple[np.ndarray, int]:
    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) > 1:
                raise V4eggError(f"{path}: holds {len(tiff.pages)} pages; save each image as a file of its own")
            page = tiff.pages.first
            tag = page.tags.get(_ORIENTATION)
            return _tiff_pixels(path, page), int(tag.value) if tag else 1
    except V4eggError:
        raise
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, KeyError, EOFError) as error:
        raise _unreadable(path, error) from error


def _tiff_pixels(path: Path, page: tifffile.TiffPage) -> np.ndarray:
    kind = page.photometric.name if hasattr(page.photometric, "name") else str(page.photometric)
    alpha = [extra.name if hasattr(extra, "name") else str(extra) for extra in page.extrasamples]
    colours = page.samplesperpixel - len(alpha)
    known = {"MINISBLACK": 1, "MINISWHITE": 1, "PALETTE": 1, "RGB": 3, "YCBCR": 3}
    if known.get(kind) != colours or alpha not in ([], ["UNASSALPHA"]) or (alpha and kind == "PALETTE"):
        extra = f" with {', '.join(alpha)}" if alpha else ""
        raise V4eggError(
            f"{path}: a TIFF of {page.samplesperpixel} samples, kind {kind}{extra}, is not read; save it as grey or "
            "RGB, with unassociated alpha or none"
        )
    pixels = _tiff_array(path, page, kind)
    if pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    if kind == "MINISWHITE":
        return _inverted(path, pixels)
    return _palette_colours(pixels, page) if kind == "PALETTE" else pixels


def _tiff_array(path: Path, page: tifffile.TiffPage, kind: str) -> np.ndarray:
    """The page as it is stored; Pillow decompresses what tifffile alone does not."""
    try:
        if kind != "YCBCR":
            return np.asarray(page.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    with Image.open(path) as image:
        pixels = np.array(image)
    if kind == "MINISWHITE" or pixels.dtype != page.dtype or pixels.shape != page.shape:
        compression = tifffile.COMPRESSION(page.compression).name
        raise V4eggError(f"{path}: a TIFF with compression {compression} is not read; save it without")
    return pixels


def _inverted(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Pixels whose zero is white, as ones whose zero is black."""
    if pixels.dtype == bool:
        return ~pixels
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 2:
        raise V4eggError(
            f"{path}: a TIFF of {pixels.dtype} whose zero is white is not read; save it with zero as black"
        )
    return np.iinfo(pixels.dtype).max - pixels


def _palette_colours(pixels: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """uint8 RGB of palette indices; palettes hold 16 bits, of which files of 8 bits use the upper ones."""
    colours = np.asarray(page.colormap)[:, pixels]
    return np.moveaxis(colours >> 8, 0, -1).astype(np.uint8)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels turned and mirrored as an EXIF orientation from 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _unreadable(path: Path, error: Exception) -> V4eggError:
    return V4eggError(f"{path}: not a readable image ({error}); repair or remove it")
