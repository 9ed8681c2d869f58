"""Adversarial images: a natural image and a change too small to see that raises or lowers a unit's response.

The change's root mean square over pixels and channels is at most epsilon, and image plus change stays within the pixel
range. It follows the gradient of the response (projected gradient steps, Madry et al. 2018, each of one length), and is
held against random changes of the full epsilon, under the model itself and under every other judge.
"""

import torch
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.synthesis.pixel_steps import best_along_gradient, rms

DIRECTIONS = {"raise": 1.0, "lower": -1.0}
KINDS = ("white", "spectrum")  # random changes: Gaussian pixels, and the adversarial change's spectrum at other phases
_REACH = 2.5  # lengths of epsilon that all steps together would go
_BISECTIONS = 40
_BATCH = 32  # images


def adversarial_images(
    models: nn.Module, images: Tensor, units: Tensor, signs: Tensor, epsilon: float, steps: int
) -> Tensor:
    """Images (B, C, y, x) changed so that each one's unit responds more (sign 1) or less (-1); the best of the way.

    Args:
        models: has ``paired(images, units) -> (B,)``, differentiable in the images.
        images: natural ones in [0, 1].
        units: positions of the units (B,).
        signs: (B,).
        epsilon: largest RMS of the change, in [0, 1] units.
        steps: gradient steps, each ``2.5 epsilon / steps`` long.

    Raises:
        V4eggError: epsilon is not above 0, or a response is not finite.
    """
    if not epsilon > 0:
        raise V4eggError(f"adversarial images: epsilon is {epsilon}; give an RMS above 0, in [0, 1] units")
    units, signs = units.to(images.device), signs.to(images.device)

    def score(change: Tensor) -> Tensor:
        return models.paired(images + change, units) * signs

    def move(change: Tensor, gradient: Tensor, step: int) -> Tensor:
        return projected(images, change + _REACH * epsilon / steps * gradient / _column(rms(gradient)), epsilon)

    best, _ = best_along_gradient(torch.zeros_like(images), score, move, steps, "adversarial images")
    return images + best


def projected(images: Tensor, change: Tensor, epsilon: float) -> Tensor:
    """The change clipped to the pixel range of image plus change, then shortened to an RMS of at most epsilon.

    Shortening keeps the range, since image and image plus change both lie in it.
    """
    change = (images + change).clamp(0, 1) - images
    return change * _column((epsilon / rms(change)).clamp_max(1))


def random_changes(images: Tensor, noise: Tensor, epsilon: float) -> Tensor:
    """Changes along the ``noise``, clipped to the pixel range, whose RMS is epsilon after clipping.

    An image that the range holds so that the noise cannot change it that much is changed as far as it goes.
    """
    noise = noise.to(images.device) / _column(rms(noise.to(images.device)))
    low = torch.zeros(len(images), device=images.device)
    high = torch.full_like(low, 64 * epsilon)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = rms((images + _column(middle) * noise).clamp(0, 1) - images) < epsilon
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (images + _column(low) * noise).clamp(0, 1) - images


def other_phases(change: Tensor, noise: Tensor) -> Tensor:
    """The change's spectrum (B, C, y, x) with the phases of white ``noise`` (B, 1, y, x), the same in all channels."""
    spectrum = torch.fft.fft2(noise)
    return torch.fft.ifft2(torch.fft.fft2(change).abs() * spectrum / spectrum.abs().clamp_min(1e-12)).real


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
