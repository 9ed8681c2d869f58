"""Energies that compare images with earlier ones (:class:`Differ`) or with others of the batch (:class:`Diverse`)."""

from collections.abc import Callable

import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.synthesis.energies import TINY, Energy, check_number

Features = Callable[[Tensor], Tensor]


class Differ(Energy):
    """Negative distance to the nearest of some earlier images: low for images that do not resemble them.

    The distance is 1 - r with r the correlation over all values, channels included: half the squared distance between
    images brought to mean 0 and length 1, so that brightness and contrast do not matter. It is 0 for a repeat, 1 for a
    uniform image, and 2, the most, for the negative of an image.

    Args:
        images: the earlier images: (K, C, y, x) for all images or (n, K, C, y, x).
        features: images (N, C, y, x) -> (N, ...), what is correlated in place of pixels.

    Raises:
        V4eggError: the earlier images have another shape, or, on use, do not fit the images.

    Example:
        A second most exciting image that differs from the first:

        >>> import torch, v4egg
        >>> from v4egg.synthesis.energies import Excite
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = v4egg.wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> first = v4egg.synthesize_mei(model, ["a"], "gradient_ascent", steps=5)
        >>> differ = Differ(torch.from_numpy(first["image"].values[0]))
        >>> def energy(model, units):
        ...     return Excite(model, units) + 5.0 * differ
        >>> second = v4egg.synthesize_mei(model, ["a"], "gradient_ascent", steps=5, energy=energy)
        >>> second["image"].shape
        (1, 1, 1, 8, 8)
    """

    def __init__(self, images: Tensor, features: Features | None = None):
        if images.ndim not in (4, 5) or not images.shape[-4]:
            shape = tuple(images.shape)
            raise V4eggError(
                f"Differ: images of shape {shape}; give (K, C, y, x) or (n, K, C, y, x) with K of 1 or more"
            )
        self.images, self.features = images, features
        with torch.no_grad():
            self.earlier = _directions(images.flatten(0, -4), features).unflatten(0, images.shape[:-3])
        self.evaluations = int(features is not None)

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.images.shape[-3:]:
            shape, expected = tuple(images.shape[1:]), tuple(self.images.shape[-3:])
            raise V4eggError(
                f"Differ got images of shape {shape}, the earlier ones have {expected}; resize one of them"
            )
        if self.images.ndim == 5:
            check_number(self, images, len(self.images), "sets of earlier images")
        products = "bd,kd->bk" if self.images.ndim == 4 else "bd,bkd->bk"
        directions = _directions(images, self.features)
        return torch.einsum(products, directions, self.earlier.to(directions.device)).amax(1) - 1

    def select(self, rows: slice) -> "Differ":
        return Differ(self.images[rows], self.features) if self.images.ndim == 5 else self


class Diverse(Energy):
    """Mean correlation of each image with the others of its group: low where the images of a group differ.

    An image depends on the members of its group and on no other image of the batch, so a group must be in one batch.
    The correlation is that of :class:`Differ`; an image alone in its group has energy 0.

    Args:
        groups: index tensor (n,), the group of each image, such as its target unit.
        features: images (N, C, y, x) -> (N, ...), what is correlated in place of pixels.

    Raises:
        V4eggError: the groups have another shape; or, on use, images and groups differ in number.

    Example:
        >>> import torch
        >>> images = torch.rand(1, 3, 4, 4).expand(2, -1, -1, -1)
        >>> Diverse(torch.tensor([0, 0]))(images).round(decimals=4)
        tensor([1., 1.])
    """

    def __init__(self, groups: Tensor, features: Features | None = None):
        if groups.ndim != 1:
            raise V4eggError(f"Diverse: groups of shape {tuple(groups.shape)}; give (n,), one group per image")
        self.groups, self.features = groups.cpu(), features
        self.members = [(self.groups == group).nonzero().squeeze(1) for group in self.groups.unique()]
        self.evaluations = int(features is not None)

    def __call__(self, images: Tensor) -> Tensor:
        check_number(self, images, len(self.groups), "groups")
        directions = _directions(images, self.features)
        energies = torch.cat([self._within(directions[members.to(images.device)]) for members in self.members])
        return energies[torch.cat(self.members).argsort().to(images.device)]

    def select(self, rows: slice) -> "Diverse":
        inside = self.groups[rows]
        outside = torch.cat([self.groups[: rows.start], self.groups[rows.stop :]])
        if torch.isin(inside, outside).any():
            raise V4eggError("Diverse: a group of images is cut by batches; make the batches larger, or leave it whole")
        return Diverse(inside, self.features)

    @staticmethod
    def _within(directions: Tensor) -> Tensor:
        similarity = directions @ directions.T
        return (similarity.sum(1) - similarity.diagonal()) / max(len(directions) - 1, 1)


def _directions(images: Tensor, features: Features | None) -> Tensor:
    """Images (N, C, y, x) -> their values or features less their mean, as vectors (N, D) of length 1 (uniform: 0)."""
    values = (images if features is None else features(images)).flatten(1)
    centred = values - values.mean(1, keepdim=True)
    return centred / (centred.square().sum(1, keepdim=True) + TINY).sqrt()
