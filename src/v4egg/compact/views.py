"""Pictures and their views: the images that a teacher responds to and students are fitted to, and their splits.

A view is a crop of a picture, possibly mirrored and at lower contrast. All views of a picture, and of its
near-duplicates, belong to one split.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.photographs import PHOTOGRAPHS
from v4egg.images.processing import resize, to_float
from v4egg.recordings.splits import near_duplicates
from v4egg.seeding import numpy_generator

SPLITS = ("fit", "pruning", "test")


class View(NamedTuple):
    """Parameters of a view.

    Attributes:
        top, left: row and column of the crop's first pixel.
        side: side of the square crop in pixels.
        mirrored: whether the crop is flipped left to right.
        contrast: gain of the deviation from the channel means.
    """

    top: int
    left: int
    side: int
    mirrored: bool
    contrast: float


def duplicate_groups(images: np.ndarray, sources: Sequence[str]) -> np.ndarray:
    """Label (n,) of each image's group: near-duplicates, and all crops of one photograph.

    Args:
        images: uint8 (n, c, y, x).
        sources: source of each image, see :func:`v4egg.images.pool.image_pool`.
    """
    (labels,) = near_duplicates([images])
    parent = {int(label): int(label) for label in labels}

    def root(label: int) -> int:
        while parent[label] != label:
            label = parent[label]
        return label

    first: dict[str, int] = {}
    for label, source in zip(labels.tolist(), sources, strict=True):
        if source in PHOTOGRAPHS:  # its crops overlap
            parent[root(label)] = root(first.setdefault(source, label))
    return np.array([root(label) for label in labels.tolist()])


def split_groups(groups: np.ndarray, shares: Mapping[str, float], *key: object) -> np.ndarray:
    """Assign whole groups of images at random to the splits of :data:`SPLITS`.

    Args:
        groups: label of each image's group (n,).
        shares: fractions of the images for ``pruning`` and ``test``; the rest are ``fit``.
        key: of the random order of the groups.

    Returns:
        The split of each image (n,).

    Raises:
        V4eggError: a split gets no image.

    >>> split_groups(np.arange(8) // 2, {"pruning": 0.25, "test": 0.25}, "key").tolist()
    ['fit', 'fit', 'pruning', 'pruning', 'test', 'test', 'fit', 'fit']
    """
    labels, counts = np.unique(groups, return_counts=True)
    order = numpy_generator("picture splits", *key).permutation(len(labels))
    middle = (np.cumsum(counts[order]) - counts[order] / 2) / counts.sum()
    limits = np.cumsum([shares["pruning"], shares["test"]])
    split_of_group = np.array(["pruning", "test", "fit"])[np.searchsorted(limits, middle, side="right")]
    split_of = dict(zip(labels[order].tolist(), split_of_group.tolist(), strict=True))
    split = np.array([split_of[group] for group in groups.tolist()])
    missing = [name for name in SPLITS if name not in split]
    if missing:
        raise V4eggError(f"compact: {len(labels)} groups of pool images leave none for '{missing[0]}'; add images")
    return split


def draw_view(picture: int, view: int, size: int, options: Mapping[str, Any], *key: object) -> View:
    """Draw the parameters of one view of a picture.

    Args:
        picture: number of the picture.
        view: number of the view; view 0 is the picture itself.
        size: side of the picture in pixels.
        options: ``scale`` (smallest side of a crop, as a fraction of the picture's), ``contrast`` (smallest gain) and
            ``mirror`` (whether views may be mirrored).
        key: of the random draw, together with picture and view.

    >>> draw_view(3, 0, 24, {"scale": 0.5, "contrast": 0.5, "mirror": True}, 1)
    View(top=0, left=0, side=24, mirrored=False, contrast=1.0)
    """
    if view == 0:
        return View(0, 0, size, False, 1.0)
    rng = numpy_generator("view", *key, picture, view)
    side = round(size * np.exp(rng.uniform(np.log(options["scale"]), 0)))
    top, left = (int(rng.integers(0, size - side + 1)) for _ in range(2))
    mirrored = bool(options["mirror"] and rng.random() < 0.5)
    return View(top, left, side, mirrored, float(rng.uniform(options["contrast"], 1)))


def make_view(picture: np.ndarray, view: View) -> Tensor:
    """Make a view of a picture.

    Args:
        picture: uint8 (c, y, x).
        view: its parameters.

    Returns:
        The view at the picture's size, float32 (c, y, x) in [0, 1].
    """
    crop = picture[:, view.top : view.top + view.side, view.left : view.left + view.side]
    image = resize(to_float(crop)[None], picture.shape[-1])[0]
    if view.mirrored:
        image = torch.flip(image, [-1])
    if view.contrast == 1:
        return image
    mean = image.mean((1, 2), keepdim=True)
    return mean + view.contrast * (image - mean)
