"""The one result type of every synthesizer, and what they all check."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from v4egg.errors import V4eggError


@dataclass
class Synthesis:
    """Images made for an energy.

    Attributes:
        images: (n, C, y, x) in [0, 1], as they would be shown.
        energies: (n,) of the final images.
        trajectory: (n, steps) energy along the way.
        evaluations: images that the encoder saw, with gradient but in evolution, for each of the n images; (n,) where
            they differ.
        seconds: wall time of the batch.
        opacity: (n, 1, y, x) in [0, 1], where it was optimised too.
    """

    images: Tensor
    energies: Tensor
    trajectory: Tensor
    evaluations: int | Tensor
    seconds: float
    opacity: Tensor | None = None


def check_finite(energies: Tensor, energy: Callable[[Tensor], Tensor], method: str, step: int) -> None:
    """Raise for the first image whose energy (n,) is not finite; names method, energy, unit and step."""
    if torch.isfinite(energies).all():
        return
    row = int((~torch.isfinite(energies)).nonzero()[0])
    what = energy.describe(row) if hasattr(energy, "describe") else f"the energy of image {row}"
    raise V4eggError(
        f"{method}: {what} is {energies[row].item()}, not finite, at step {step}; "
        "lower the step's size, or leave the unit out if its encoder is at fault"
    )
