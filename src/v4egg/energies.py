"""What an image should do, as one differentiable number an image to be made small; energies add and scale.

Constraints bring an image to what may be shown: a norm, a pixel range. They are applied before an energy sees it.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.stimuli import Preprocess, to_channels

Constraint = Callable[[Tensor], Tensor]
TINY = 1e-12  # under a root whose gradient must stay finite at 0


class Energy:
    """Base: images (B, C, y, x) in [0, 1] -> energy (B,). ``a + b`` and ``2 * a`` are energies too."""

    evaluations = 1  # images that the encoder sees for one image of the batch

    def __call__(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define __call__(images) -> energy")

    def __add__(self, other: "Energy") -> "Energy":
        return _Sum(self, other)

    def __mul__(self, factor: float) -> "Energy":
        return _Scaled(self, factor)

    __rmul__ = __mul__


class _Sum(Energy):
    def __init__(self, first: Energy, second: Energy):
        self.first, self.second = first, second
        self.evaluations = first.evaluations + second.evaluations

    def __call__(self, images: Tensor) -> Tensor:
        return self.first(images) + self.second(images)


class _Scaled(Energy):
    def __init__(self, energy: Energy, factor: float):
        self.energy, self.factor = energy, factor
        self.evaluations = energy.evaluations

    def __call__(self, images: Tensor) -> Tensor:
        return self.factor * self.energy(images)


class Excite(Energy):
    """Minus the response of one unit to each image, less what the members of an ensemble disagree by.

    Args:
        model: anything with ``paired(images, units) -> (B,)``; with ``caution``, an ensemble.
        units: index tensor (B,), the target unit of each image of the batch.
        caution: k in mean - k sd over members: above 0, an image that excites one member alone does not pay.
    """

    def __init__(self, model: nn.Module, units: Tensor, caution: float = 0.0):
        self.model, self.units, self.caution = model, units, caution

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) != len(self.units):
            raise V4eggError(f"Excite got {len(images)} images for {len(self.units)} target units; give one unit each")
        if not self.caution:
            return -self.model.paired(images, self.units)
        each = self.model.each_paired(images, self.units)
        mean = torch.tensordot(self.model.weights, each, 1)
        variance = torch.tensordot(self.model.weights, (each - mean) ** 2, 1)
        return self.caution * (variance + TINY).sqrt() - mean


class Jittered(Energy):
    """The mean of an energy over copies of each image, shifted and with pixel noise.

    An image that only works at one exact alignment climbs the model and not the neuron. Shifts and noise come from one
    generator an image, so that an image's result does not depend on its batch.

    Args:
        energy: the energy to average.
        generators: one CPU generator for each image of the batch.
        copies: how many perturbed copies; ``shift``: the largest shift in pixels; ``noise``: sd in [0, 1] units.
    """

    def __init__(
        self, energy: Energy, generators: Sequence[torch.Generator], copies: int, shift: int = 0, noise: float = 0.0
    ):
        self.energy, self.generators = energy, list(generators)
        self.copies, self.shift, self.noise = copies, shift, noise
        self.evaluations = energy.evaluations * copies

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([self.energy(self._copy(images)) for _ in range(self.copies)]).mean(0)

    def _copy(self, images: Tensor) -> Tensor:
        size = images.shape[-2:]
        padded = F.pad(images, (self.shift,) * 4, mode="replicate") if self.shift else images
        copies = []
        for image, generator in zip(padded, self.generators, strict=True):
            row, column = torch.randint(0, 2 * self.shift + 1, (2,), generator=generator).tolist()
            image = image[:, row : row + size[0], column : column + size[1]]
            if self.noise:
                image = image + self.noise * torch.randn(image.shape, generator=generator).to(image)
            copies.append(image)
        return torch.stack(copies)


class L2Norm:
    """Rescales each image, z-scored by ``preprocess``, to a fixed L2 norm: contrast no longer pays.

    ``norm`` is the length of the vector of all z-scored pixels, as in the MEI literature. The root-mean-square contrast
    in units of the pool's standard deviation is ``norm / sqrt(number of values)``.
    """

    def __init__(self, norm: float, preprocess: Preprocess):
        self.norm = norm
        self.mean, self.std = preprocess.mean, preprocess.std

    def __call__(self, images: Tensor) -> Tensor:
        mean, std = (to_channels(s[None], images.shape[1])[0] for s in (self.mean, self.std))
        scaled = (images - mean) / std
        length = scaled.flatten(1).norm(dim=1).clamp_min(1e-8).view(-1, 1, 1, 1)
        return scaled * (self.norm / length) * std + mean


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
