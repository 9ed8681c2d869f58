"""The result of every method of synthesis, and the checks that all of them make."""

from collections.abc import Callable, Sequence
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
        evaluations: images that the encoder saw for each of the n images, with a gradient except in evolution; (n,)
            where they differ.
        seconds: wall time of the batch.
        opacity: (n, 1, y, x) in [0, 1], where it was optimised too.

    Example:
        >>> import torch
        >>> result = Synthesis(torch.rand(2, 1, 8, 8), torch.tensor([-3.0, -1.0]), torch.zeros(2, 5), 5, seconds=0.1)
        >>> result.images[result.energies.argmin()].shape
        torch.Size([1, 8, 8])
    """

    images: Tensor
    energies: Tensor
    trajectory: Tensor
    evaluations: int | Tensor
    seconds: float
    opacity: Tensor | None = None


def check_finite(energies: Tensor, energy: Callable[[Tensor], Tensor], method: str, step: int) -> None:
    """Raise for the first image whose energy is not finite.

    Args:
        energies: (n,) of the images of a batch.
        energy: what computed them.
        method: name of the method, for the message.
        step: number of the step, for the message.

    Raises:
        V4eggError: an energy is not finite; names method, energy, unit and step.
    """
    if torch.isfinite(energies).all():
        return
    row = int((~torch.isfinite(energies)).nonzero()[0])
    what = energy.describe(row) if hasattr(energy, "describe") else f"the energy of image {row}"
    raise V4eggError(
        f"{method}: {what} is {energies[row].item()}, not finite, at step {step}; "
        "lower the step's size, or leave the unit out if its encoder is at fault"
    )


def check_denoised(noisy: Tensor, clean: Tensor, method: str, step: int) -> None:
    """Raise for the first finite image whose denoised one is not: the prior is at fault, and not the energy.

    Args:
        noisy: x_t (n, channel, y, x).
        clean: x0_hat (n, channel, y, x).
        method: name of the method, for the message.
        step: number of the step, for the message.

    Raises:
        V4eggError: a value is not finite.
    """
    lost = torch.isfinite(noisy).flatten(1).all(1) & ~torch.isfinite(clean).flatten(1).all(1)
    if lost.any():
        raise V4eggError(
            f"{method}: the denoised image {int(lost.nonzero()[0])} is not finite at step {step}; the prior is at "
            "fault: check its weights, and the noise schedule and the prediction that they were trained with"
        )


def image_gradients(energies: Tensor, *sources: Tensor) -> list[Tensor]:
    """The gradients of energies (n,) with respect to the tensors that they were computed from.

    Raises:
        V4eggError: they do not depend on it differentiably.
    """
    gradients: Sequence[Tensor | None] = [None]
    if energies.requires_grad:
        gradients = torch.autograd.grad(energies.sum(), sources, allow_unused=True)
    available = [gradient for gradient in gradients if gradient is not None]
    if len(available) < len(sources):
        raise V4eggError(
            "the energy has no gradient with respect to the images; compute it with differentiable functions of them, "
            "without detach or no_grad"
        )
    return available
