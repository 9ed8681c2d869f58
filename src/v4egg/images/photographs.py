"""Natural images without a download: crops of the photographs that scikit-image and scikit-learn contain.

Each photograph is divided into two bands, of which the smaller one, along one side, is for tests only. A crop lies
entirely inside one band, so that no test image shares a pixel with an image used for fitting.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.seeding import numpy_generator

TEST_FRACTION = 0.3  # of a photograph's width or height
Part = Literal["fit", "test"]
PARTS: tuple[Part, ...] = ("fit", "test")
_TRIES = 1000


@dataclass(frozen=True)
class Photograph:
    """A photograph inside an installed package.

    Attributes:
        package: import name of the package that contains it.
        file: its path inside the package.
        weight: relative frequency of its crops per area; low for repetitive content (textures, starfields).
        test_side: the side along which the test band lies, chosen so that the band has content.

    Example:
        >>> PHOTOGRAPHS["coffee"].test_side
        'top'
    """

    package: str
    file: str
    weight: float
    test_side: Literal["left", "right", "top", "bottom"]


PHOTOGRAPHS: dict[str, Photograph] = {
    "astronaut": Photograph("skimage", "data/astronaut.png", 1.0, "right"),
    "brick": Photograph("skimage", "data/brick.png", 0.15, "right"),
    "camera": Photograph("skimage", "data/camera.png", 0.6, "right"),
    "chelsea": Photograph("skimage", "data/chelsea.png", 1.2, "left"),
    "coffee": Photograph("skimage", "data/coffee.png", 1.0, "top"),
    "coins": Photograph("skimage", "data/coins.png", 0.5, "right"),
    "grass": Photograph("skimage", "data/grass.png", 0.15, "right"),
    "gravel": Photograph("skimage", "data/gravel.png", 0.15, "right"),
    "hubble": Photograph("skimage", "data/hubble_deep_field.jpg", 0.08, "right"),
    "immunohistochemistry": Photograph("skimage", "data/ihc.png", 0.25, "right"),
    "moon": Photograph("skimage", "data/moon.png", 0.15, "bottom"),
    "motorcycle": Photograph("skimage", "data/motorcycle_left.png", 1.0, "left"),
    "retina": Photograph("skimage", "data/retina.jpg", 0.04, "right"),
    "rocket": Photograph("skimage", "data/rocket.jpg", 0.6, "right"),
    "china": Photograph("sklearn", "datasets/images/china.jpg", 1.0, "right"),
    "flower": Photograph("sklearn", "datasets/images/flower.jpg", 0.8, "bottom"),
}


def photograph_crops(
    n: int,
    size: int,
    part: Part,
    key: object,
    *,
    min_crop: int = 64,
    max_crop: int = 200,
    min_sd: float = 12.0,
) -> tuple[np.ndarray, list[str]]:
    """Draw random square crops of natural photographs.

    A photograph is drawn in proportion to its area times its weight, the side of the crop log-uniformly from
    ``min_crop`` to ``max_crop`` (but at most the width of the photograph's narrower band, so that both parts have the
    same scales), its position and a left-right flip uniformly. Crop ``i`` does not depend on ``n``.

    Args:
        n: number of crops.
        size: side of the returned images in px; larger crops are reduced with antialiasing.
        part: ``"fit"`` or ``"test"``; the two never share a pixel.
        key: identifies the random draws: any printable value or a tuple of them.
        min_crop: smallest side of a crop before resizing, in px of the photograph.
        max_crop: largest side of a crop before resizing, in px of the photograph.
        min_sd: crops whose grey values (0-255) have a smaller standard deviation are drawn again.

    Returns:
        uint8 array (n, 3, size, size), RGB, 0-255; and the name of the photograph of each crop.

    Raises:
        V4eggError: an unknown part, crops that fit no photograph or never vary enough, or a photograph that the
            installed package lacks.

    Example:
        >>> crops, names = photograph_crops(2, 16, "fit", "example")
        >>> crops.shape, len(names)
        ((2, 3, 16, 16), 2)
    """
    if part not in PARTS:
        raise V4eggError(f"part '{part}' of the photographs is unknown; give one of {', '.join(PARTS)}")
    if size < 1 or not 1 <= min_crop <= max_crop:
        raise V4eggError(
            f"crops of {min_crop} to {max_crop} px at size {size} px are impossible; need 1 <= min_crop <= max_crop"
        )
    names = [name for name in PHOTOGRAPHS if _narrow_side(name) >= min_crop]
    if not names:
        raise V4eggError(
            f"min_crop of {min_crop} px fits no photograph; choose at most {max(map(_narrow_side, PHOTOGRAPHS))}"
        )
    weights = np.array([PHOTOGRAPHS[name].weight * load_photograph(name).size for name in names])
    cumulative = np.cumsum(weights) / weights.sum()
    key = key if isinstance(key, tuple) else (key,)
    crops = np.empty((n, 3, size, size), np.uint8)
    sources = []
    for i in range(n):
        generator = numpy_generator("photograph_crops", part, *key, i)
        for _ in range(_TRIES):
            name = names[int(np.searchsorted(cumulative, generator.random(), side="right"))]
            crop = _crop(name, part, size, min_crop, max_crop, generator)
            if crop.mean(axis=-1).std() >= min_sd:
                break
        else:
            raise V4eggError(f"no crop with an sd of {min_sd} or more in {_TRIES} draws; lower min_sd")
        crops[i] = crop.transpose(2, 0, 1)
        sources.append(name)
    return crops, sources


@cache
def load_photograph(name: str) -> np.ndarray:
    """Read a photograph of :data:`PHOTOGRAPHS`.

    Returns:
        Read-only uint8 (y, x, 3); grey photographs have three equal channels.

    Raises:
        V4eggError: the installed package lacks the file.
    """
    photograph = PHOTOGRAPHS[name]
    spec = find_spec(photograph.package)
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(folders[0] if folders else photograph.package) / photograph.file
    if not path.is_file():
        raise V4eggError(f"{path}: the photograph '{name}' is missing; reinstall {photograph.package} from its wheel")
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    pixels.setflags(write=False)
    return pixels


def band(name: str, part: Part) -> tuple[int, int, int, int]:
    """Return the area of a photograph for the crops of one part: (top, left, bottom, right) in px, half-open.

    Example:
        >>> band("coffee", "test"), band("coffee", "fit")
        ((0, 0, 120, 600), (120, 0, 400, 600))
    """
    height, width, _ = load_photograph(name).shape
    side = PHOTOGRAPHS[name].test_side
    length = width if side in ("left", "right") else height
    test = round(TEST_FRACTION * length)
    test_first = side in ("left", "top")
    cut = test if test_first else length - test
    start, stop = (0, cut) if test_first == (part == "test") else (cut, length)
    return (0, start, height, stop) if side in ("left", "right") else (start, 0, stop, width)


def _narrow_side(name: str) -> int:
    """Side of the largest square that fits both bands."""
    boxes = [band(name, part) for part in PARTS]
    return min(min(bottom - top, right - left) for top, left, bottom, right in boxes)


def _crop(name: str, part: Part, size: int, min_crop: int, max_crop: int, generator: np.random.Generator) -> np.ndarray:
    """One crop, uint8 (size, size, 3)."""
    top, left, bottom, right = band(name, part)
    largest = min(max_crop, _narrow_side(name))
    side = int(np.exp(generator.uniform(np.log(min_crop), np.log(largest + 1))))
    side = min(max(side, min_crop), largest)
    y = int(generator.integers(top, bottom - side + 1))
    x = int(generator.integers(left, right - side + 1))
    pixels = load_photograph(name)[y : y + side, x : x + side]
    if generator.random() < 0.5:
        pixels = pixels[:, ::-1]
    # cropped before resizing, because with Pillow's box argument the filter reads pixels outside the crop
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((size, size), Image.Resampling.BICUBIC))
