"""Transparency: which parts of an image its energy needs, found by letting any background show through the others.

The idea is that of transparent images in feature visualisation (Mordvintsev et al., Distill 2018, "Differentiable Image
Parameterizations"): an opacity is optimised along with the colours and laid over a background that changes at every
step, so that only what is opaque can be relied on, and opacity has a price.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from v4egg.images.processing import Preprocess, blur, resize

COARSE = 8  # backgrounds are noise on a grid of about so many patches a side: as large as features
LEARNING_RATE = 0.05  # Adam's step on opacities within [0, 1]


class Transparency:
    """The opacity of each pixel (B, 1, y, x), from opaque down, by Adam of its own.

    An opacity's gradient, smoothed and brought to a root mean square of 1 over the image, competes with ``price``: a
    pixel fades unless what it does for the energy exceeds ``price`` times the image's root mean square. The energy's
    own scale does not matter. The most opaque pixel stays at 1: a constraint on contrast would make up for a fading of
    all.

    Args:
        generators: one CPU generator an image, for its backgrounds.
        preprocess: the encoder's; backgrounds have the mean and standard deviation of its images.
        price: what opacity costs, above 0.
        smoothing: sigma in pixels of the Gaussian that smooths each gradient.
    """

    def __init__(self, generators: Sequence[torch.Generator], preprocess: Preprocess, price: float, smoothing: float):
        self.generators, self.preprocess, self.price, self.smoothing = generators, preprocess, price, smoothing
        size, mean = preprocess.size, preprocess.mean
        self.opacity = torch.ones((len(generators), 1, size, size), device=mean.device, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.opacity], lr=LEARNING_RATE)

    def over_mean(self, images: Tensor) -> Tensor:
        """Images (B, C, y, x) in [0, 1] over the mean colour."""
        mean = self.preprocess.mean
        return mean + self.opacity * (images - mean)

    def over_noise(self, images: Tensor) -> Tensor:
        """Images over the mean colour, with fresh noise in place of what shows through."""
        return images + (1 - self.opacity) * (self._backgrounds() - self.preprocess.mean)

    def step(self, gradient: Tensor) -> None:
        """Move the opacities against a gradient of the energies (B, 1, y, x), and towards none."""
        gradient = blur(gradient, self.smoothing)
        scale = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
        self.opacity.grad = gradient / (scale + 1e-12) + self.price
        self.optimizer.step()
        with torch.no_grad():
            self.opacity.clamp_(0, 1)
            self.opacity.div_(self.opacity.amax((1, 2, 3), keepdim=True).clamp_min(1e-6))

    def _backgrounds(self) -> Tensor:
        shape = (1, self.preprocess.channels, COARSE, COARSE)
        noise = torch.cat([torch.randn(shape, generator=generator) for generator in self.generators])
        return self.preprocess.invert(resize(noise.to(self.preprocess.mean), self.preprocess.size)).clamp(0, 1)
