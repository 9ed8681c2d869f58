"""Pictures and their views: what a teacher labels and students learn from, and which of them test.

A view is a crop of a picture, perhaps mirrored, at another contrast. All views of a picture, and of those that resemble
it, belong to one split.
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
    """How a view is made of its picture: a square crop (rows, columns), mirrored or not, and a gain of contrast."""

    top: int
    left: int
    side: int
    mirrored: bool
    contrast: float


def groups_of(images: np.ndarray, sources: Sequence[str]) -> np.ndarray:
    """Label (n,) of each image's group: images that resemble one another, and all crops of one photograph.

    Args:
        images: uint8 (n, c, y, x).
        sources: where each comes from, see :func:`v4egg.images.pool.image_pool`.
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
    """A split of :data:`SPLITS` for each image (n,): whole groups, until ``pruning`` and ``test`` have their shares.

    Raises:
        V4eggError: a split gets no image.
    """
    labels, counts = np.unique(groups, return_counts=True)
    order = numpy_generator("picture splits", *key).permutation(len(labels))
    reached = (np.cumsum(counts[order]) - counts[order] / 2) / counts.sum()
    limits = np.cumsum([shares["pruning"], shares["test"]])
    chosen = np.array(["pruning", "test", "fit"])[np.searchsorted(limits, reached, side="right")]
    split = dict(zip(labels[order].tolist(), chosen.tolist(), strict=True))
    found = np.array([split[group] for group in groups.tolist()])
    missing = [name for name in SPLITS if name not in found]
    if missing:
        raise V4eggError(f"compact: {len(labels)} groups of pool images leave none to '{missing[0]}'; add images")
    return found


def draw_view(picture: int, view: int, size: int, options: Mapping[str, Any], *key: object) -> View:
    """View number ``view`` of a picture of ``size`` pixels a side; number 0 is the picture itself.

    ``options``: ``scale`` (smallest side of a crop, as a share), ``contrast`` (smallest gain), ``mirror`` (bool).
    """
    if view == 0:
        return View(0, 0, size, False, 1.0)
    draw = numpy_generator("view", *key, picture, view)
    side = round(size * np.exp(draw.uniform(np.log(options["scale"]), 0)))
    top, left = (int(draw.integers(0, size - side + 1)) for _ in range(2))
    mirrored = bool(options["mirror"] and draw.random() < 0.5)
    return View(top, left, side, mirrored, float(draw.uniform(options["contrast"], 1)))


def make_view(picture: np.ndarray, view: View) -> Tensor:
    """The view of a picture, uint8 (c, y, x), at the picture's size, float (c, y, x) in [0, 1]."""
    cut = picture[:, view.top : view.top + view.side, view.left : view.left + view.side]
    image = resize(to_float(cut)[None], picture.shape[-1])[0]
    if view.mirrored:
        image = torch.flip(image, [-1])
    if view.contrast == 1:
        return image
    mean = image.mean((1, 2), keepdim=True)
    return mean + view.contrast * (image - mean)
