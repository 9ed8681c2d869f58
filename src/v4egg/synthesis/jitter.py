"""Jitter: the mean of an energy over perturbed copies of each image."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from v4egg.registry import Options
from v4egg.synthesis.constraints import select_rows
from v4egg.synthesis.energies import Energy


class Jitter(Options):
    """The energy is the mean over perturbed copies of each image."""

    copies: int = Field(0, ge=0, description="Copies; 0: the image itself.")
    shift: int = Field(3, ge=0, description="Largest shift in pixels.")
    noise: float = Field(0.03, ge=0, description="Standard deviation of pixel noise, in [0, 1] units.")
    scale: float = Field(0, ge=0, lt=1, description="Largest zoom in or out, as a share.")
    patch: float = Field(
        0,
        ge=0,
        lt=1,
        description="Side of a square that hides a random part of each copy under its mean colour, as a share of the "
        "image's side.",
    )


class Jittered(Energy):
    """Mean of an energy over copies of each image, each shifted, zoomed, partly hidden and with pixel noise.

    An image that works at one exact alignment only exploits the model rather than the neuron, and has a higher energy
    here. All draws for an image come from its own generator, so that its result does not depend on the batch.

    Args:
        energy: the energy to average.
        rngs: one CPU generator for each image of the batch.
        copies: number of perturbed copies.
        shift: largest shift in pixels; edges repeat.
        noise: standard deviation of pixel noise in [0, 1] units.
        scale: largest zoom, in or out, as a share; edges repeat.
        patch: side of a square that hides a random part of each copy under its mean colour, as a share of the image's.

    Example:
        >>> import torch
        >>> from v4egg.seeding import torch_generator
        >>> def brightness(images):
        ...     return images.mean((1, 2, 3))
        >>> energy = Jittered(brightness, [torch_generator("a")], copies=2, shift=3)
        >>> energy.evaluations, energy(torch.ones(1, 1, 8, 8)).item()
        (2, 1.0)
    """

    def __init__(
        self,
        energy: Callable[[Tensor], Tensor],
        rngs: Sequence[torch.Generator],
        copies: int,
        shift: int = 0,
        noise: float = 0.0,
        scale: float = 0.0,
        patch: float = 0.0,
    ):
        self.energy, self.rngs = energy, list(rngs)
        self.copies, self.shift, self.noise, self.scale, self.patch = copies, shift, noise, scale, patch
        self.evaluations = getattr(energy, "evaluations", 1) * copies

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([self.energy(self._copy(images)) for _ in range(self.copies)]).mean(0)

    def describe(self, row: int) -> str:
        return self.energy.describe(row) if isinstance(self.energy, Energy) else f"the energy of image {row}"

    def select(self, rows: slice) -> "Jittered":
        perturbations = (self.copies, self.shift, self.noise, self.scale, self.patch)
        return Jittered(select_rows(self.energy, rows), self.rngs[rows], *perturbations)

    def _copy(self, images: Tensor) -> Tensor:
        pairs = zip(images, self.rngs, strict=True)
        return torch.stack([self._perturbed(image, rng) for image, rng in pairs])

    def _perturbed(self, image: Tensor, rng: torch.Generator) -> Tensor:
        if self.shift:
            image = _shifted(image, self.shift, rng)
        if self.scale:
            image = _zoomed(image, self.scale, rng)
        if self.patch:
            image = _partly_hidden(image, self.patch, rng)
        if self.noise:
            image = image + self.noise * torch.randn(image.shape, generator=rng).to(image)
        return image


def _shifted(image: Tensor, shift: int, rng: torch.Generator) -> Tensor:
    height, width = image.shape[-2:]
    padded = F.pad(image[None], (shift,) * 4, mode="replicate")[0]
    row, column = torch.randint(0, 2 * shift + 1, (2,), generator=rng).tolist()
    return padded[:, row : row + height, column : column + width]


def _zoomed(image: Tensor, scale: float, rng: torch.Generator) -> Tensor:
    zoom = 1 + scale * (2 * torch.rand(1, generator=rng).item() - 1)
    corners = torch.tensor([[[1 / zoom, 0, 0], [0, 1 / zoom, 0]]])
    grid = F.affine_grid(corners, [1, 1, *image.shape[-2:]], align_corners=False)
    return F.grid_sample(image[None], grid.to(image), padding_mode="border", align_corners=False)[0]


def _partly_hidden(image: Tensor, patch: float, rng: torch.Generator) -> Tensor:
    height, width = image.shape[-2:]
    side = max(1, round(patch * min(height, width)))
    row, column = (int(torch.randint(n - side + 1, (1,), generator=rng)) for n in (height, width))
    hidden = torch.zeros(height, width, dtype=torch.bool, device=image.device)
    hidden[row : row + side, column : column + side] = True
    return torch.where(hidden, image.mean((-2, -1), keepdim=True), image)
