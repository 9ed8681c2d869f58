"""Constraints: differentiable maps that bring images to what may be shown, such as a norm or the pixel range.

A constraint takes images (n, C, y, x) in [0, 1] and returns as many, each computed from that image alone. Any such
function is a constraint; :func:`chain` applies several in turn. Clipping (:class:`PixelRange`) comes last, so the norm
or contrast of an image that is clipped is smaller than the one asked for.
"""

from collections.abc import Callable, Sequence
from math import pi
from typing import TypeVar

import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, to_channels

Constraint = Callable[[Tensor], Tensor]
FAINT = 1e-4  # luminance sd far below one grey level: rounding noise, which is not scaled up to full contrast

Rows = TypeVar("Rows")


class L2Norm:
    """Rescales each image about the mean so that, as ``preprocess`` sees it, it has a fixed L2 norm.

    The norm is the length of the vector of all z-scored pixels, as in the literature on most exciting images (Walker et
    al. 2019; Pierzchlewicz et al. 2023). The root-mean-square contrast in units of the training images' standard
    deviation is ``norm / sqrt(number of values)``. Images of another size or colour keep theirs: the norm is measured
    after ``preprocess``, so that it means the same for every prior. (Grey images for a colour encoder meet it as far as
    the means of the channels agree.)

    Args:
        norm: one number for all images, or a tensor (n,) with one for each.
        preprocess: the encoder's.

    Raises:
        V4eggError: on use, if there is a norm for each image and their number differs from that of the images.

    Example:
        >>> import torch
        >>> from v4egg.images.processing import Preprocess
        >>> preprocess = Preprocess(size=8, channels=1, mean=[0.5], std=[0.2])
        >>> images = L2Norm(3.0, preprocess)(torch.rand(2, 1, 8, 8))
        >>> [round(norm, 3) for norm in preprocess(images).flatten(1).norm(dim=1).tolist()]
        [3.0, 3.0]
    """

    def __init__(self, norm: float | Tensor, preprocess: Preprocess):
        self.norm, self.preprocess = norm, preprocess

    def __call__(self, images: Tensor) -> Tensor:
        mean = to_channels(self.preprocess.mean.to(images.device)[None], images.shape[1])[0]
        length = self.preprocess(images).flatten(1).norm(dim=1).clamp_min(1e-8)
        return (images - mean) * (self._norms(length) / length).view(-1, 1, 1, 1) + mean

    def select(self, rows: slice) -> "L2Norm":
        """The constraint of some images of the batch."""
        if not isinstance(self.norm, Tensor) or not self.norm.ndim:
            return self
        return L2Norm(self.norm[rows], self.preprocess)

    def _norms(self, length: Tensor) -> float | Tensor:
        if not isinstance(self.norm, Tensor):
            return self.norm
        if self.norm.ndim and self.norm.shape != length.shape:
            raise V4eggError(f"L2Norm: {len(self.norm)} norms for {len(length)} images; give one, or one for each")
        return self.norm.to(length)


def rms_contrast(images: Tensor) -> Tensor:
    """RMS contrast of images: the standard deviation of the luminance over pixels.

    Args:
        images: (n, C, y, x) in [0, 1].

    Returns:
        Contrasts (n,) in [0, 1] units.
    """
    return to_channels(images, 1).flatten(1).std(1, correction=0)


class RMSContrast:
    """Rescales each image about its mean so that its luminance has a fixed standard deviation over pixels.

    The mean of each channel is kept. A uniform image has no contrast to rescale and stays as it is.

    Args:
        contrast: standard deviation of the luminance in [0, 1] units (population form), above 0.

    Raises:
        V4eggError: the contrast is not above 0.

    Example:
        >>> import torch
        >>> rms_contrast(RMSContrast(0.1)(torch.rand(1, 3, 8, 8))).round(decimals=4)
        tensor([0.1000])
    """

    def __init__(self, contrast: float):
        if not contrast > 0:
            raise V4eggError(f"RMSContrast: contrast is {contrast}; give a standard deviation above 0, in [0, 1] units")
        self.contrast = contrast

    def __call__(self, images: Tensor) -> Tensor:
        mean = images.mean((-2, -1), keepdim=True)
        luminance = to_channels(images - mean, 1)
        variance = luminance.square().mean((-3, -2, -1), keepdim=True)
        deviation = variance.clamp_min(FAINT**2).sqrt()
        return mean + (images - mean) * (self.contrast / deviation)


class Aperture:
    """Shows each image through a window, such as a receptive field, on a uniform background.

    Before :class:`L2Norm`, give the mean of its preprocess as background: only what is inside the window then counts to
    the norm.

    Args:
        mask: 1 where the image is seen and 0 where it is not: (y, x) for all images or (n, y, x).
        background: one value, or one for each channel, in [0, 1].

    Raises:
        V4eggError: the mask has another shape or values outside [0, 1]; or, on use, it does not fit the images.

    Example:
        Most exciting images in a round window (see :func:`v4egg.synthesize_mei`):

        >>> import torch, v4egg
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = v4egg.wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> window = Aperture.disc(8, centre=(3.5, 3.5), radius=2.0, edge=1.0)
        >>> meis = v4egg.synthesize_mei(model, ["a"], "gradient_ascent", steps=3, constraint=window)
        >>> meis["image"].values[0, 0, 0, 0, 0].round(3).item()  # a corner is background
        0.5
    """

    def __init__(self, mask: Tensor, background: float | Tensor = 0.5):
        if mask.ndim not in (2, 3) or not ((mask >= 0) & (mask <= 1)).all():
            raise V4eggError(f"Aperture: mask of shape {tuple(mask.shape)}; give (y, x) or (n, y, x) within [0, 1]")
        self.mask, self.background = mask, torch.as_tensor(background, dtype=torch.float32).reshape(-1, 1, 1)

    @classmethod
    def disc(
        cls,
        size: int,
        centre: tuple[float, float],
        radius: float,
        edge: float = 0.0,
        background: float | Tensor = 0.5,
    ) -> "Aperture":
        """A round window, all lengths in pixels.

        Args:
            size: side of the images.
            centre: (row, column); (0, 0) is the middle of the first pixel.
            radius: the image is fully visible up to here, and invisible from ``radius + edge``.
            edge: width of the raised cosine between the two.
            background: as in the class.

        Raises:
            V4eggError: the radius is not above 0, or the edge is negative.
        """
        if radius <= 0 or edge < 0:
            raise V4eggError(
                f"Aperture: radius {radius}, edge {edge} pixels; give a radius above 0, an edge of 0 or more"
            )
        row, column = (torch.arange(size) - middle for middle in centre)
        outside = torch.hypot(row[:, None].float(), column[None].float()) - radius
        ramp = (outside / max(edge, 1e-6)).clamp(0, 1)
        return cls((1 + torch.cos(pi * ramp)) / 2, background)

    def __call__(self, images: Tensor) -> Tensor:
        expected = images.shape[-2:] if self.mask.ndim == 2 else (len(images), *images.shape[-2:])
        if self.mask.shape != expected:
            raise V4eggError(
                f"Aperture: mask of shape {tuple(self.mask.shape)} for images of shape {tuple(images.shape)}; "
                f"give {tuple(expected)}"
            )
        mask = self.mask.to(images).unsqueeze(-3)
        background = to_channels(self.background.to(images), images.shape[1])
        return background + mask * (images - background)

    def select(self, rows: slice) -> "Aperture":
        """The constraint of some images of the batch."""
        return Aperture(self.mask[rows], self.background) if self.mask.ndim == 3 else self


class PixelRange:
    """Clips images to [0, 1], so that an energy gains nothing from values that cannot be shown.

    Example:
        >>> import torch
        >>> PixelRange()(torch.tensor([-0.5, 0.25, 1.5]).view(1, 1, 1, 3)).flatten().tolist()
        [0.0, 0.25, 1.0]
    """

    def __call__(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1)


class Chain:
    """Several constraints as one, applied in turn."""

    def __init__(self, constraints: Sequence[Constraint]):
        self.constraints = list(constraints)

    def __call__(self, images: Tensor) -> Tensor:
        for constraint in self.constraints:
            images = constraint(images)
        return images

    def select(self, rows: slice) -> "Chain":
        """The constraints of some images of the batch."""
        return Chain([select_rows(constraint, rows) for constraint in self.constraints])


def chain(*constraints: Constraint) -> Chain:
    """One constraint that applies all of them in turn.

    Example:
        >>> import torch
        >>> darker_then_clipped = chain(lambda images: images - 0.5, PixelRange())
        >>> darker_then_clipped(torch.tensor([0.25, 1.0]).view(1, 1, 1, 2)).flatten().tolist()
        [0.0, 0.5]
    """
    return Chain(constraints)


def select_rows(what: Rows, rows: slice) -> Rows:
    """An energy or a constraint for some images of the batch: its ``select(rows)``, or itself if it has none.

    A plain function has none: it is taken to treat all images alike.
    """
    select = getattr(what, "select", None)
    return what if select is None else select(rows)


def display_constraint(norm: float | None, preprocess: Preprocess, first: Constraint | None = None) -> Chain:
    """What every synthesized image meets: the pixel range, and before it an L2 norm if there is one.

    Args:
        norm: L2 norm of the z-scored image; None: free.
        preprocess: the encoder's, which z-scores.
        first: a constraint to apply before both, such as an :class:`Aperture`.
    """
    before: list[Constraint] = [] if first is None else [first]
    return chain(*before, *([] if norm is None else [L2Norm(norm, preprocess)]), PixelRange())
