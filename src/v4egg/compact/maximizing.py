"""Maximizing images of compact models, made as published: gradient ascent on pixels that are blurred now and then.

From uniform noise, steps along the blurred gradient brought to unit RMS, clipped to the pixel range; the best image of
the way is kept (Cowley, Stan, Pillow and Smith, bioRxiv 2023.11).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from v4egg.device import device_of
from v4egg.images.processing import blur
from v4egg.seeding import torch_generator
from v4egg.synthesis.pixel_steps import best_along_gradient, rms

METHOD = "maximizing"
START = (128 / 255, 178 / 255)
STEP = 10 / 255
SMOOTHING = 1.0  # px, sigma of the Gaussian over the gradient, and over the image every BLUR_EVERY steps
BLUR_EVERY = 50
_BATCH = 16  # images


def maximizing_images(
    models: nn.Module,
    units: Sequence[str],
    size: int,
    *,
    steps: int = 1000,
    samples: int = 1,
    seed: int = 0,
    progress: Callable[[range], Any] = iter,
) -> xr.Dataset:
    """Images [unit, sample, channel, y, x] of kind ``mei`` that excite each of the units of ``models``.

    Args:
        models: has ``units`` and ``paired(images, units) -> (B,)``, differentiable in the images (B, 3, size, size).
        units: unit ids.
        steps: gradient steps (published: 1000); the best image of all is kept.
        samples: images a unit; the start of each is keyed by (seed, method, unit, sample).

    Raises:
        V4eggError: a response is not finite.
    """
    start = time.perf_counter()
    device, place = device_of(models), {unit: i for i, unit in enumerate(models.units)}
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    images, trajectories = [], []
    for first in progress(range(0, len(pairs), _BATCH)):
        part = pairs[first : first + _BATCH]
        noise = [torch.rand(3, size, size, generator=torch_generator(seed, METHOD, *pair)) for pair in part]
        index = torch.tensor([place[unit] for unit, _ in part], device=device)
        made, trajectory = _maximized(models, torch.stack(noise).to(device), index, steps)
        images.append(made.cpu())
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


def _maximized(models: nn.Module, noise: Tensor, units: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The best images (n, 3, y, x) on the way from uniform noise in [0, 1], and the responses (n, steps + 1)."""

    def score(images: Tensor) -> Tensor:
        return models.paired(images, units)

    def move(images: Tensor, gradient: Tensor, step: int) -> Tensor:
        gradient = blur(gradient / rms(gradient).view(-1, 1, 1, 1), SMOOTHING)
        images = (images + STEP * gradient).clamp(0, 1)
        return blur(images, SMOOTHING) if (step + 1) % BLUR_EVERY == 0 else images

    start = START[0] + (START[1] - START[0]) * noise
    return best_along_gradient(start, score, move, steps, "maximizing images")
