"""Small pictures whose pixels are known, and the same pictures as files and arrays hold them.

A picture is uint8 (y, x, channel) noise, unlike all others. ``encoded`` gives what is stored: other types and ranges of
numbers, transparency, palettes. ``true_picture`` says, with plain loops, what a right reader makes of it.
"""

from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = {"square": (24, 24), "wide": (16, 24), "tall": (24, 16)}  # height, width; px
GREY_ONE = 5  # number of the picture that is grey where the others have colours
CHANNELS = {"grey": 1, "la": 1, "rgb": 3, "rgba": 3, "palette": 3, "mixed": 3}
COLOURS = {
    "array": ("grey", "rgb", "rgba", "mixed"),
    "frames": ("grey", "rgb", "rgba"),
    "file": ("grey", "rgb", "rgba", "la", "palette", "mixed"),
}
PIXEL_RANGES = {  # what a careful user would set; other kinds of numbers say it themselves
    "binary": [0, 1],
    "uint12": [0, 4095],
    "uint16_small": [0, 255],
    "int16": [0, 255],
    "float255": [0, 255],
    "float_signed": [-1, 1],
}
_NUMBERS = ("binary", "uint16", "uint12", "uint16_small", "int16", "float1", "float_dark", "float255", "float_signed")
VALUES = {
    "file": ("uint8", "bool", "binary", "uint16", "uint12", "float1", "float_dark", "float255", "float_signed"),
    "array": ("uint8", "bool", *_NUMBERS),
    "frames": ("uint8", *_NUMBERS),  # of a series cannot be flags
}
FILE_TYPES = {("uint8", colour): ("png",) for colour in COLOURS["file"]} | {
    ("uint8", "grey"): ("png", "bmp", "tif", "jpg"),
    ("uint8", "rgb"): ("png", "bmp", "tif", "jpg", "webp"),
    ("uint8", "rgba"): ("png", "tif", "webp"),
    ("bool", "grey"): ("png", "tif"),
    ("binary", "grey"): ("png", "bmp"),
    ("uint16", "grey"): ("png", "tif"),
    ("uint12", "grey"): ("png", "tif"),
    **{(values, "grey"): ("tif",) for values in ("float1", "float_dark", "float255", "float_signed")},
}


def noise(number: int, values: str, colour: str, shape: str) -> np.ndarray:
    """Picture ``number`` before it is encoded, uint8 (y, x, channel); the last channel of la and rgba is alpha."""
    rng = np.random.default_rng(1000 + number)
    channels = {"la": 2, "rgba": 4}.get(colour, CHANNELS[colour])
    darkest = 255 - 10 * (number % 12)  # each picture has a range of its own
    picture = rng.integers(0, darkest + 1, (*SHAPES[shape], channels)).astype("uint8")
    picture[0, 0], picture[1, 0] = 0, darkest
    if colour in ("la", "rgba"):
        picture[..., -1] = rng.choice([0, 128, 255], SHAPES[shape])
    if colour == "palette":
        return _sixteen_colours(rng)[rng.integers(0, 16, SHAPES[shape])]
    if colour == "mixed" and number == GREY_ONE:
        picture[:] = picture[..., :1]
    if values in ("bool", "binary"):
        return np.where(picture > 127, 255, 0).astype("uint8")
    return picture // 2 if values == "float_dark" else picture


def encoded(picture: np.ndarray, values: str) -> np.ndarray:
    """The numbers that are stored for a picture of bytes."""
    exact = picture.astype("float64")
    as_stored = {
        "uint8": picture,
        "bool": picture > 0,
        "binary": (picture > 0).astype("uint8"),
        "uint16": picture.astype("uint16") * 257,
        "uint12": np.round(exact * 4095 / 255).astype("uint16"),
        "uint16_small": picture.astype("uint16"),
        "int16": picture.astype("int16"),
        "float1": (exact / 255).astype("float32"),
        "float_dark": (exact / 255).astype("float32"),
        "float255": exact.astype("float32"),
        "float_signed": (exact / 127.5 - 1).astype("float32"),
    }
    return as_stored[values]


def true_picture(picture: np.ndarray, colour: str, aspect: str | None) -> np.ndarray:
    """What a reader must give: uint8 (channel, y, x), composited on mid-grey, cropped or padded to a square."""
    if colour in ("la", "rgba"):
        picture = _over_grey(picture)
    height, width, channels = picture.shape
    if height != width and aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    elif height != width and aspect == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        padded = np.full((side, side, channels), 128, "uint8")
        padded[top : top + height, left : left + width] = picture
        picture = padded
    return picture.transpose(2, 0, 1)


def write_file(path: Path, picture: np.ndarray, values: str, colour: str) -> np.ndarray:
    """Write a picture to a file, in the format of its suffix.

    Returns:
        The picture, uint8 (y, x, channel); of a JPEG the pixels that are in the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = picture.shape[2] == 1 or (colour == "mixed" and (picture == picture[..., :1]).all())
    stored = encoded(picture[..., 0] if grey else picture, values)
    image = Image.fromarray(stored)
    if colour == "palette":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    exact = {".webp": {"lossless": True, "exact": True}}
    image.save(path, **exact.get(path.suffix, {}))
    if path.suffix == ".jpg":
        with Image.open(path) as again:
            return np.asarray(again).reshape(picture.shape)
    return picture


def _over_grey(picture: np.ndarray) -> np.ndarray:
    """Colours composited on mid-grey, uint8 (y, x, colour)."""
    result = np.empty((*picture.shape[:2], picture.shape[2] - 1), "uint8")
    for y, x, channel in np.ndindex(result.shape):
        alpha = picture[y, x, -1] / 255
        result[y, x, channel] = round(alpha * float(picture[y, x, channel]) + (1 - alpha) * 127.5)
    return result


def _sixteen_colours(rng: np.random.Generator) -> np.ndarray:
    """Colours that a palette of 16 keeps exactly."""
    return rng.integers(0, 256, (16, 3)).astype("uint8")
