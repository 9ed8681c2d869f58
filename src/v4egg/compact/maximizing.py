"""Maximizing images of compact models as published: gradient ascent on pixels with occasional blurring.

Starting from uniform noise, each step follows the blurred gradient, normalized to an RMS of 1, and clips to the pixel
range; the best image of all steps is returned (Cowley, Stan, Pillow & Smith, "Compact deep neural network models of the
visual cortex", Nature 2026).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.compact.network import CompactModels
from v4egg.device import device_of
from v4egg.images.processing import blur
from v4egg.seeding import torch_generator
from v4egg.synthesis.pixel_steps import best_along_gradient, rms

METHOD = "maximizing"
START = (128 / 255, 178 / 255)  # range of the initial uniform noise
STEP = 10 / 255  # RMS of a step
SMOOTHING = 1.0  # px, sigma of the Gaussian over the gradient, and over the image every BLUR_EVERY steps
BLUR_EVERY = 50
_BATCH = 16  # images


def maximizing_images(
    models: CompactModels,
    units: Sequence[str],
    size: int,
    *,
    steps: int = 1000,
    samples: int = 1,
    seed: int = 0,
    progress: Callable[[range], Any] = iter,
) -> xr.Dataset:
    """Synthesize images that maximize the response of each unit.

    Args:
        models: the compact models of a session.
        units: U unit ids.
        size: side of the images in pixels.
        steps: gradient steps (published: 1000).
        samples: images per unit; the start of each is keyed by (seed, method, unit, sample).
        seed: of the initial noise.
        progress: wraps the loop over batches, such as a progress bar.

    Returns:
        A dataset of kind ``mei``: ``image`` (unit, sample, channel, y, x) in [0, 1]; ``activation`` (unit, sample,
        step), the response before each step and after the last; ``evaluations`` and ``seconds`` (unit, sample).

    Raises:
        V4eggError: a response is not finite.
    """
    start = time.perf_counter()
    device, position = device_of(models), {unit: i for i, unit in enumerate(models.units)}
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    images, trajectories = [], []
    for first in progress(range(0, len(pairs), _BATCH)):
        batch = pairs[first : first + _BATCH]
        noise = [torch.rand(3, size, size, generator=torch_generator(seed, METHOD, *pair)) for pair in batch]
        index = torch.tensor([position[unit] for unit, _ in batch], device=device)
        best, trajectory = _maximized(models, torch.stack(noise).to(device), index, steps)
        images.append(best.cpu())
        trajectories.append(trajectory.cpu())
    shape = (len(units), samples)
    seconds = (time.perf_counter() - start) / max(1, len(pairs))
    image = torch.cat(images) if images else torch.zeros(0, 3, size, size)
    trajectory = torch.cat(trajectories) if trajectories else torch.zeros(0, steps + 1)
    return xr.Dataset(
        {
            "image": (("unit", "sample", "channel", "y", "x"), image.numpy().reshape(*shape, 3, size, size)),
            "activation": (("unit", "sample", "step"), trajectory.numpy().reshape(*shape, steps + 1)),
            "evaluations": (("unit", "sample"), np.full(shape, steps + 1)),
            "seconds": (("unit", "sample"), np.full(shape, seconds, np.float32)),
        },
        {"unit": np.asarray(list(units), object)},
    )


def _maximized(models: CompactModels, noise: Tensor, units: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The best images (n, 3, y, x) on the way from uniform noise in [0, 1], and the responses (n, steps + 1)."""

    def score(images: Tensor) -> Tensor:
        return models.paired(images, units)

    def move(images: Tensor, gradient: Tensor, step: int) -> Tensor:
        gradient = blur(gradient / rms(gradient).view(-1, 1, 1, 1), SMOOTHING)
        images = (images + STEP * gradient).clamp(0, 1)
        return blur(images, SMOOTHING) if (step + 1) % BLUR_EVERY == 0 else images

    start = START[0] + (START[1] - START[0]) * noise
    return best_along_gradient(start, score, move, steps, "maximizing images")
