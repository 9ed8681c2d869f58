"""Adversarial images: a natural image plus an invisibly small change that raises or lowers a unit's response.

The root mean square (RMS) of the change over pixels and channels is at most epsilon, and the changed image stays within
the pixel range. The change follows the gradient of the response (projected gradient steps of equal length: Madry et
al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018). It is compared with random changes of
RMS epsilon, under the model itself and under every other judge.
"""

import torch
from torch import Tensor

from v4egg.encoders.unit_model import UnitModel
from v4egg.errors import V4eggError
from v4egg.synthesis.pixel_steps import best_along_gradient, rms

DIRECTIONS = {"raise": 1.0, "lower": -1.0}
KINDS = ("white", "spectrum")  # random changes: Gaussian pixels; the adversarial change's spectrum at random phases
_REACH = 2.5  # summed length of all steps, in units of epsilon
_BISECTIONS = 40


def adversarial_images(
    models: UnitModel, images: Tensor, units: Tensor, signs: Tensor, epsilon: float, steps: int
) -> Tensor:
    """Change each image so that its unit responds more (sign 1) or less (sign -1).

    Args:
        models: its ``paired`` must be differentiable in the images.
        images: natural images (B, C, y, x) in [0, 1].
        units: position of each image's unit (B,).
        signs: 1 or -1 for each image (B,).
        epsilon: largest RMS of the change, in [0, 1] units.
        steps: gradient steps, each of length ``2.5 epsilon / steps``.

    Returns:
        Changed images (B, C, y, x) in [0, 1]; for each image the best of all steps.

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
    """Project a change (B, C, y, x): image plus change into [0, 1], then the RMS of the change to at most epsilon.

    Shortening keeps the pixel range, since the image and the changed image both lie in it.
    """
    change = (images + change).clamp(0, 1) - images
    return change * _column((epsilon / rms(change)).clamp_max(1))


def random_changes(images: Tensor, noise: Tensor, epsilon: float) -> Tensor:
    """Changes (B, C, y, x) along ``noise`` whose RMS is epsilon after clipping to the pixel range.

    Where the pixel range does not allow an RMS of epsilon along the noise, the change is as large as possible.

    Args:
        images: (B, C, y, x) in [0, 1].
        noise: directions of the changes (B, C, y, x).
        epsilon: RMS of the changes, in [0, 1] units.
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
    """Changes with the amplitude spectrum of ``change`` and the phases of white noise.

    Args:
        change: (B, C, y, x).
        noise: white noise (B, 1, y, x); its phases are used in all channels.
    """
    spectrum = torch.fft.fft2(noise)
    return torch.fft.ifft2(torch.fft.fft2(change).abs() * spectrum / spectrum.abs().clamp_min(1e-12)).real


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
