"""Images that are not square: refused, or cropped or padded where the configuration says which; never squashed."""

from typing import Literal

import numpy as np

from v4egg.errors import V4eggError

Rule = Literal["crop", "pad"]


def square(images: np.ndarray, rule: Rule | None, background: float, where: str) -> np.ndarray:
    """Return images as squares.

    Args:
        images: uint8 (..., y, x), such as one image (channel, y, x) or many (image, channel, y, x).
        rule: what becomes of images that are not square. ``crop`` keeps the central square, ``pad`` adds bars of the
            background to the shorter sides; of an odd number of pixels the last side loses or gets one more. None
            refuses them.
        background: grey level of the bars, in units of [0, 1].
        where: the file or session, for errors.

    Returns:
        uint8 (..., side, side): the shorter side where images are cropped, the longer one where they are padded.

    Raises:
        V4eggError: images are not square and there is no rule.

    Example:
        >>> wide = np.zeros((3, 4, 6), "uint8")
        >>> square(wide, "crop", 0.5, "a.png").shape, square(wide, "pad", 0.5, "a.png")[0, :, 0].tolist()
        ((3, 4, 4), [128, 0, 0, 0, 0, 128])
    """
    height, width = images.shape[-2:]
    if height == width:
        return images
    if rule == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return np.ascontiguousarray(images[..., top : top + side, left : left + side])
    if rule == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        result = np.full((*images.shape[:-2], side, side), round(background * 255), np.uint8)
        result[..., top : top + height, left : left + width] = images
        return result
    raise V4eggError(
        f"{where}: images are {width} x {height} px (width x height), not square; set images.aspect to crop (the "
        "central square) or to pad (bars of the background)"
    )
