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

from v4egg.compact.adversarial import rms
from v4egg.errors import V4eggError
from v4egg.images.processing import blur
from v4egg.seeding import torch_generator

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
    place = {unit: i for i, unit in enumerate(models.units)}
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    images, trajectories = [], []
    for first in progress(range(0, len(pairs), _BATCH)):
        part = pairs[first : first + _BATCH]
        noise = [torch.rand(3, size, size, generator=torch_generator(seed, METHOD, *pair)) for pair in part]
        made, trajectory = _climbed(models, torch.stack(noise), torch.tensor([place[unit] for unit, _ in part]), steps)
        images.append(made)
        trajectories.append(trajectory)
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


def _climbed(models: nn.Module, noise: Tensor, units: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The best images (B, 3, y, x) of the way up from uniform noise in [0, 1], and the response at each step."""
    images = START[0] + (START[1] - START[0]) * noise
    best, reached, trajectory = images.clone(), torch.full((len(images),), -torch.inf), []
    for step in range(steps + 1):
        images = images.detach().requires_grad_()
        responses = models.paired(images, units)
        if not torch.isfinite(responses).all():
            raise V4eggError(f"maximizing images: a response is not finite at step {step}; leave the unit out")
        trajectory.append(responses.detach().cpu())
        better = responses.detach().cpu() > reached
        best[better], reached[better] = images.detach()[better], trajectory[-1][better]
        if step == steps:
            break
        (gradient,) = torch.autograd.grad(responses.sum(), images)
        gradient = blur(gradient / rms(gradient).view(-1, 1, 1, 1), SMOOTHING)
        images = (images.detach() + STEP * gradient).clamp(0, 1)
        if (step + 1) % BLUR_EVERY == 0:
            images = blur(images, SMOOTHING)
    return best, torch.stack(trajectory, 1)
