"""The one result type of every synthesizer."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Synthesis:
    """Images made for an energy.

    Attributes:
        images: (n, C, y, x) in [0, 1], as they would be shown.
        energies: (n,) of the final images.
        trajectory: (n, steps) energy along the way.
        evaluations: images that the encoder saw, with gradient but in evolution, for each of the n images.
        seconds: wall time of the batch.
    """

    images: Tensor
    energies: Tensor
    trajectory: Tensor
    evaluations: int
    seconds: float
