"""Transparency: which parts of an image its energy needs, by optimising an opacity along with the pixels.

As in feature visualisation (Mordvintsev et al., "Differentiable image parameterizations", Distill 2018), the image is
laid over a background that changes at every step, so that the energy depends on the opaque parts only, and opacity has
a cost.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from v4egg.images.processing import Preprocess, blur, resize

COARSE = 8  # backgrounds are noise on a grid of about so many patches a side: as large as features
LEARNING_RATE = 0.05  # Adam's step on opacities within [0, 1]


class Transparency:
    """The opacity of each pixel (n, 1, y, x), starting from 1, optimised by Adam.

    The gradient of an opacity, smoothed and scaled to a root mean square of 1 over the image, is added to ``price``: a
    pixel becomes transparent unless its gradient exceeds ``price`` times the root mean square of the image. The scale
    of the energy does not matter. Opacities are divided by the largest of the image, since a constraint on contrast
    would undo a fading of all pixels.

    Args:
        rngs: one CPU generator for each image, for its backgrounds.
        preprocess: the encoder's; backgrounds have the mean and standard deviation of its images.
        price: cost of opacity, above 0.
        smoothing: standard deviation in pixels of the Gaussian that smooths each gradient.
    """

    def __init__(self, rngs: Sequence[torch.Generator], preprocess: Preprocess, price: float, smoothing: float):
        self.rngs, self.preprocess, self.price, self.smoothing = rngs, preprocess, price, smoothing
        size, mean = preprocess.size, preprocess.mean
        self.opacity = torch.ones((len(rngs), 1, size, size), device=mean.device, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.opacity], lr=LEARNING_RATE)

    def over_mean(self, images: Tensor) -> Tensor:
        """Images (n, C, y, x) in [0, 1] over the mean colour."""
        mean = self.preprocess.mean
        return mean + self.opacity * (images - mean)

    def over_noise(self, images: Tensor) -> Tensor:
        """Images (n, C, y, x) over fresh noise, where :meth:`over_mean` gave them the mean colour."""
        return images + (1 - self.opacity) * (self._backgrounds() - self.preprocess.mean)

    def step(self, gradient: Tensor) -> None:
        """One step of Adam along the negative gradient of the energies (n, 1, y, x) and of the cost of opacity."""
        gradient = blur(gradient, self.smoothing)
        scale = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
        self.opacity.grad = gradient / (scale + 1e-12) + self.price
        self.optimizer.step()
        with torch.no_grad():
            self.opacity.clamp_(0, 1)
            self.opacity.div_(self.opacity.amax((1, 2, 3), keepdim=True).clamp_min(1e-6))

    def _backgrounds(self) -> Tensor:
        shape = (1, self.preprocess.channels, COARSE, COARSE)
        noise = torch.cat([torch.randn(shape, generator=rng) for rng in self.rngs])
        return self.preprocess.invert(resize(noise.to(self.preprocess.mean), self.preprocess.size)).clamp(0, 1)
