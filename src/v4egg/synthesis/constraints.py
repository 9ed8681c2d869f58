"""Constraints bring an image to what may be shown: a norm, a contrast, an aperture, the pixel range.

Each takes images (B, C, y, x) in [0, 1] and returns as many, each on its own, differentiably; ``chain`` puts them in a
row. Clipping comes last, and what it takes from a norm or a contrast is not given back.
"""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, to_channels

Constraint = Callable[[Tensor], Tensor]
FAINT = 1e-4  # luminance sd far below one grey level: rounding, not a picture, so it is not blown up to full contrast


class L2Norm:
    """Rescales each image about the mean so that, as ``preprocess`` sees it, it has a fixed L2 norm.

    ``norm`` is the length of the vector of all z-scored pixels, as in the MEI literature, one for all images or one
    each (B,). The root-mean-square contrast in units of the pool's standard deviation is ``norm / sqrt(number of
    values)``. Images of another size or colour keep theirs: the norm is measured where ``preprocess`` brings them, so
    that it means the same for every prior. (Grey images for a colour encoder meet it as far as the channels' means
    agree.)
    """

    def __init__(self, norm: float | Tensor, preprocess: Preprocess):
        self.norm, self.preprocess = norm, preprocess

    def __call__(self, images: Tensor) -> Tensor:
        mean = to_channels(self.preprocess.mean[None], images.shape[1])[0]
        length = self.preprocess(images).flatten(1).norm(dim=1).clamp_min(1e-8)
        return (images - mean) * (self.norm / length).view(-1, 1, 1, 1) + mean


def rms_contrast(images: Tensor) -> Tensor:
    """RMS contrast (B,) of images (B, C, y, x): the luminance's standard deviation over pixels, in [0, 1] units."""
    return to_channels(images, 1).flatten(1).std(1, correction=0)


class RMSContrast:
    """Rescales each image about its mean so that its luminance has this standard deviation over pixels.

    The mean of each channel is kept. A uniform image has no contrast to rescale and stays as it is.

    Args:
        contrast: standard deviation of the luminance in [0, 1] units (population form), above 0.
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
    """Shows each image through a window such as a receptive field; outside it is background.

    Before ``L2Norm`` give the mean of its preprocess as background: then only what is inside counts to the norm.

    Args:
        mask: 1 where the image is seen and 0 where it is not: (y, x) for all images or (B, y, x).
        background: one value, or one a channel, in [0, 1].
    """

    def __init__(self, mask: Tensor, background: float | Tensor = 0.5):
        if mask.ndim not in (2, 3) or not ((mask >= 0) & (mask <= 1)).all():
            raise V4eggError(f"Aperture: mask of shape {tuple(mask.shape)}; give (y, x) or (B, y, x) within [0, 1]")
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
        """A round window in images of size x size, all lengths in pixels.

        Args:
            centre: (row, column); (0, 0) is the middle of the first pixel.
            radius: all is seen up to here, nothing from ``radius + edge``, and a raised cosine lies between.
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
        wanted = images.shape[-2:] if self.mask.ndim == 2 else (len(images), *images.shape[-2:])
        if self.mask.shape != wanted:
            raise V4eggError(
                f"Aperture: mask of shape {tuple(self.mask.shape)} for images of shape {tuple(images.shape)}; "
                f"give {tuple(wanted)}"
            )
        mask = self.mask.to(images).unsqueeze(-3)
        background = to_channels(self.background.to(images), images.shape[1])
        return background + mask * (images - background)


class PixelRange:
    """Clips to [0, 1]: what cannot be shown earns nothing."""

    def __call__(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1)


def chain(*constraints: Constraint) -> Constraint:
    """One constraint that applies all of them in turn."""

    def apply(images: Tensor) -> Tensor:
        for constraint in constraints:
            images = constraint(images)
        return images

    return apply
