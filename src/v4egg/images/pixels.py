"""From the numbers that a file holds to uint8 pixels: one rule for all images of a source, whatever held them.

The images of one source (a container, a stack of frames, a folder) are converted alike, so that a dark image stays
dark beside a bright one. Which values are black and white follows from the dtype and the values of the whole source:

- bool: false and true;
- uint8 with values above 1: 0 and 255;
- uint16 with values above half of its range: 0 and 65535;
- floats that all lie from 0 to 1: 0 and 1;
- whole-valued floats up to 255, some of them above half of it: 0 and 255;
- anything else is refused, unless a range is declared.

Where a range is declared, values outside of it are refused and not clipped. An alpha channel, scaled by its dtype,
blends an image with the background.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from v4egg.errors import V4eggError

Range = tuple[float, float]  # the values that are black and white
_HALF = 0.5  # a source uses a range if its highest value lies above this share of it: one bit less does not reach it
_LIKELY = 2  # how many ranges are suggested
_EXAMPLES = "such as [0, 255] or [0, 4095]"


class UnknownRange(V4eggError):
    """No rule says which values of a source are black and white.

    Attributes:
        fact: what is known, in words.
        dtype: of the pixels.
        low: the lowest value.
        high: the highest value.
    """

    def __init__(self, where: str, dtype: str, low: float, high: float, key: str = "pixel_range"):
        self.fact = f"{dtype} pixels from {low:g} to {high:g} do not say which values are black and white"
        self.dtype, self.low, self.high = dtype, low, high
        super().__init__(f"{where}: {self.fact}; set {key} to [black, white], {_EXAMPLES}")

    def likely(self) -> list[tuple[Range, str]]:
        """Ranges that would fit, each with what it would mean.

        Example:
            >>> [values for values, _ in UnknownRange("session.nwb", "uint16", 3, 1020).likely()]
            [(0, 1023), (0, 4095), (3, 1020)]
        """
        known: list[tuple[Range, str]] = [((0, 1), "black is 0 and white 1"), ((0, 255), "integers of 8 bits")]
        known += [((0, 2**bits - 1), f"integers of {bits} bits") for bits in (10, 12, 14, 16)]
        known += [((-1, 1), "grey is 0"), ((-0.5, 0.5), "grey is 0")]
        fitting = [one for one in known if one[0][0] <= self.low and self.high <= one[0][1]][:_LIKELY]
        lowest, highest = (int(value) if value == int(value) else value for value in (self.low, self.high))
        return [*fitting, *([((lowest, highest), "the values themselves")] if lowest < highest else [])]


def as_uint8(
    frames: Sequence[np.ndarray],
    *,
    where: str,
    value_range: Range | None = None,
    background: float = 0.5,
    key: str = "pixel_range",
) -> list[np.ndarray]:
    """Convert all images of one source to uint8.

    Sources that do not fit into memory are read twice: :func:`range_of` looks at all images, :func:`scaled` converts
    each.

    Args:
        frames: each (y, x), (y, x, 1), (y, x, 2: grey and alpha), (y, x, 3) or (y, x, 4: RGB and alpha); all of one
            dtype or bool, unless a range is declared.
        where: the file and the source in it, for errors.
        value_range: the values that are black and white; None: as dtype and values say.
        background: the grey level, in units of [0, 1], that shows where an image is transparent.
        key: the configuration key that declares the range, for errors.

    Returns:
        For each image uint8 (channel, y, x) with 1 or 3 channels.

    Raises:
        V4eggError: the images cannot be converted without doubt; says what to declare or to change.

    Example:
        >>> dark, bright = np.zeros((2, 2), "uint16"), np.full((2, 2), 65535, "uint16")
        >>> [image.max().item() for image in as_uint8([dark, bright], where="session.nwb")]
        [0, 255]
    """
    used = range_of(frames, where=where, value_range=value_range, key=key)
    return [scaled(frame, used, where=where, background=background) for frame in frames]


def range_of(
    frames: Iterable[np.ndarray], *, where: str, value_range: Range | None = None, key: str = "pixel_range"
) -> Range:
    """Return the values that are black and white in all images of a source.

    Args:
        frames: all images of the source, one at a time, in the shapes of :func:`as_uint8`.
        where: the file and the source in it, for errors.
        value_range: the declared values, which are checked and returned; None: as dtype and values say.
        key: the configuration key that declares them, for errors.

    Raises:
        V4eggError: no rule says which values are black and white, or the images are of several dtypes, hold values
            that are not finite, or hold values outside of the declared range.

    Example:
        >>> range_of(iter([np.array([[0.0, 0.5]]), np.array([[1.0, 0.2]])]), where="session.nwb")
        (0.0, 1.0)
    """
    if value_range is not None and not 0 < abs(value_range[1] - value_range[0]) < np.inf:  # false for NaN too
        raise V4eggError(f"{where}: {key} is {list(value_range)}; give two different finite numbers")
    seen = _Seen(where, key, declared=value_range is not None)
    for frame in frames:
        seen.add(frame)
        if value_range is not None:
            _check_inside(split_alpha(frame, where)[0], value_range, where)
    seen.check_alpha()
    return value_range or seen.range()


def scaled(frame: np.ndarray, value_range: Range, *, where: str, background: float = 0.5) -> np.ndarray:
    """Convert one image with the range of its source.

    Args:
        frame: in one of the shapes of :func:`as_uint8`. Truth values are black and white whatever the range.
        value_range: the values that are black and white, from :func:`range_of`.
        where: the file and the source in it, for errors.
        background: the grey level, in units of [0, 1], that shows where the image is transparent.

    Returns:
        uint8 (channel, y, x) with 1 or 3 channels.

    Raises:
        V4eggError: a value lies outside of the range.

    Example:
        >>> scaled(np.array([[0, 4095]], "uint16"), (0, 4095), where="session.nwb")
        array([[[  0, 255]]], dtype=uint8)
    """
    colours, alpha = split_alpha(frame, where)
    if colours.dtype == np.uint8 and alpha is None and tuple(value_range) == (0, 255):
        return np.ascontiguousarray(colours.transpose(2, 0, 1))
    if colours.dtype == bool:
        level = colours.astype(np.float64)
    else:
        _check_inside(colours, value_range, where)
        black, white = value_range
        level = (colours.astype(np.float64) - black) / (white - black)
    if alpha is not None:
        opacity = alpha[..., None] / _opaque(alpha.dtype, where)
        level = opacity * level + (1 - opacity) * background
    return np.ascontiguousarray(np.rint(level * 255).astype(np.uint8).transpose(2, 0, 1))


def stacked(images: Iterable[np.ndarray], count: int, *, where: str, remedy: str = "make them equal") -> np.ndarray:
    """Return the uint8 images (channel, y, x) of a source as one array (image, channel, y, x).

    Grey images among colour images get three equal channels. Images are taken one at a time, so that those of a
    generator are in memory once.

    Args:
        images: with 1 or 3 channels each.
        count: how many they are, at least 1.
        where: the file and the source in it, for errors.
        remedy: what to do with images of several sizes, for the error.

    Raises:
        V4eggError: the images are of several sizes.

    Example:
        >>> images = (np.full((channels, 4, 4), 9, "uint8") for channels in (1, 3))
        >>> stacked(images, 2, where="session.nwb").shape
        (2, 3, 4, 4)
    """
    result = np.empty((0, 0, 0, 0), np.uint8)
    for position, image in enumerate(images):
        if position == 0:
            result = np.empty((count, *image.shape), np.uint8)
        (height, width), size = image.shape[1:], result.shape[2:]
        if (height, width) != size:
            raise V4eggError(
                f"{where}: images are of several sizes, such as {size[1]} x {size[0]} and {width} x {height} px (width "
                f"x height); {remedy}"
            )
        if image.shape[0] > result.shape[1]:
            result = np.repeat(result, 3, axis=1)
        result[position] = image  # one channel is repeated to three
    return result


def grey_if_equal(images: np.ndarray) -> np.ndarray:
    """Return RGB images whose three channels are equal, in all of them, with one channel, and other images unchanged.

    Args:
        images: (image, 1 or 3 channels, y, x).

    Example:
        >>> images = np.zeros((2, 3, 4, 4), "uint8")
        >>> grey_if_equal(images).shape
        (2, 1, 4, 4)
        >>> images[1, 0] = 9
        >>> grey_if_equal(images).shape
        (2, 3, 4, 4)
    """
    return images[:, :1] if all((image == image[:1]).all() for image in images) else images


def split_alpha(frame: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colours (y, x, 1 or 3) and the alpha channel (y, x) of an image, or None where there is none.

    Raises:
        V4eggError: the array is no image.
    """
    frame = np.asarray(frame)
    pixels = frame[..., None] if frame.ndim == 2 else frame
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or pixels.size == 0:
        raise V4eggError(
            f"{where}: an image has shape {frame.shape}; expected (y, x), (y, x, 2: grey and alpha), (y, x, 3) or "
            "(y, x, 4: RGB and alpha)"
        )
    return (pixels, None) if pixels.shape[2] in (1, 3) else (pixels[..., :-1], pixels[..., -1])


@dataclass
class _Seen:
    """What values the images of a source hold, all of them together."""

    where: str
    key: str
    declared: bool
    dtypes: set[str] = field(default_factory=set)  # but bool
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    alpha_high: float | None = None
    alpha_dtype: np.dtype | None = None

    def add(self, frame: np.ndarray) -> None:
        colours, alpha = split_alpha(frame, self.where)
        if colours.dtype.kind not in "buif":
            raise V4eggError(f"{self.where}: pixels are of dtype {colours.dtype}; give bool, integers or floats")
        if alpha is not None:
            self._add_alpha(alpha)
        if colours.dtype == bool:
            return
        self.dtypes.add(colours.dtype.name)
        if len(self.dtypes) > 1 and not self.declared:
            raise V4eggError(
                f"{self.where}: images are of the dtypes {' and '.join(sorted(self.dtypes))}, whose white may differ; "
                f"save all of them with one dtype, or set {self.key} to the values that are black and white in all"
            )
        low, high = float(colours.min()), float(colours.max())
        if not np.isfinite([low, high]).all():
            raise V4eggError(f"{self.where}: pixels are NaN or infinite; replace them by numbers")
        self.low, self.high = min(self.low, low), max(self.high, high)
        if colours.dtype.kind == "f" and self.whole:
            self.whole = bool((colours == np.floor(colours)).all())

    def _add_alpha(self, alpha: np.ndarray) -> None:
        highest = float(alpha.max())
        if not (alpha.min() >= 0 and highest <= _opaque(alpha.dtype, self.where)):  # false for NaN too
            raise V4eggError(f"{self.where}: alpha of floats must lie from 0 to 1; scale it, or flatten the images")
        self.alpha_high = max(highest, self.alpha_high or 0.0)
        self.alpha_dtype = alpha.dtype

    def check_alpha(self) -> None:
        if self.alpha_high is None or self.alpha_dtype is None:
            return
        least = {"uint8": 1.0, "uint16": _HALF * 65535}.get(self.alpha_dtype.name, 0.0)
        if self.alpha_high <= least:
            raise V4eggError(
                f"{self.where}: alpha of all images is at most {self.alpha_high:g} of "
                f"{_opaque(self.alpha_dtype, self.where):g}, so that nothing would show; flatten the images"
            )

    def range(self) -> Range:
        if not self.dtypes:
            return 0.0, 1.0  # truth values only
        (name,) = self.dtypes
        if name == "uint8" and self.high > 1:
            return 0.0, 255.0
        if name == "uint16" and self.high > _HALF * 65535:
            return 0.0, 65535.0
        if name.startswith("float") and self.low >= 0 and self.high <= 1:
            return 0.0, 1.0
        if name.startswith("float") and self.whole and self.low >= 0 and _HALF * 255 < self.high <= 255:
            return 0.0, 255.0
        raise UnknownRange(self.where, name, self.low, self.high, self.key)


def _check_inside(colours: np.ndarray, value_range: Range, where: str) -> None:
    if colours.dtype == bool:
        return
    low, high = float(colours.min()), float(colours.max())
    if not (min(value_range) <= low and high <= max(value_range)):  # false for NaN too
        raise V4eggError(
            f"{where}: pixels from {low:g} to {high:g} lie outside of pixel_range {list(value_range)}; correct it"
        )


def _opaque(dtype: np.dtype, where: str) -> float:
    """The alpha value of this dtype that is opaque."""
    known = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}
    if dtype.name not in known:
        raise V4eggError(
            f"{where}: alpha of dtype {dtype} has no known scale; flatten the images or save them as uint8"
        )
    return known[dtype.name]
