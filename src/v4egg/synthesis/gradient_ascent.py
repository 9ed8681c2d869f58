"""Most exciting images by gradient ascent on the pixels: the baseline of the EGG paper."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from v4egg.constraints import Constraint
from v4egg.energies import Energy
from v4egg.errors import V4eggError
from v4egg.stimuli import Preprocess, blur
from v4egg.synthesis.synthesis import Synthesis


def gradient_ascent(
    energy: Energy,
    generators: Sequence[torch.Generator],
    preprocess: Preprocess,
    *,
    steps: int = 300,
    learning_rate: float = 10.0,
    weight_decay: float = 0.01,
    smoothing: float = 1.0,
    constraint: Constraint,
    progress: Callable[[range], Any] = iter,
) -> Synthesis:
    """AdamW on z-scored pixels from N(0, 1) noise, the gradient smoothed, the image constrained after every step.

    Args:
        energy: what to minimise; images are independent of one another.
        generators: one CPU generator an image, for its starting noise.
        preprocess: the encoder's; its size, colour and scale are those of the optimised pixels.
        steps, learning_rate, weight_decay: of AdamW (published: 1000, 10, 0.01).
        smoothing: sigma in pixels of the Gaussian that smooths each gradient (published: 1).
        constraint: brings images to what may be shown, after each step.

    Raises:
        V4eggError: the energy is not finite; names the step.
    """
    start = time.perf_counter()
    shape = (1, preprocess.channels, preprocess.size, preprocess.size)
    pixels = torch.cat([torch.randn(shape, generator=g) for g in generators]).to(preprocess.mean.device)
    pixels = _constrained(pixels, preprocess, constraint).requires_grad_()
    optimizer = torch.optim.AdamW([pixels], lr=learning_rate, weight_decay=weight_decay)
    trajectory = []
    for step in progress(range(steps)):
        energies = energy(preprocess.invert(pixels))
        if not torch.isfinite(energies).all():
            raise V4eggError(f"gradient ascent: the energy is not finite at step {step}; lower the learning rate")
        (gradient,) = torch.autograd.grad(energies.sum(), pixels)
        gradient = blur(gradient, smoothing)
        length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        pixels.grad = gradient / (length + 1e-12) * pixels[0].numel() ** 0.5
        optimizer.step()
        with torch.no_grad():
            pixels.copy_(_constrained(pixels, preprocess, constraint))
        trajectory.append(energies.detach())
    images = preprocess.invert(pixels.detach()).clamp(0, 1)
    with torch.no_grad():
        final = energy(images)
    seconds = time.perf_counter() - start
    return Synthesis(images, final, torch.stack(trajectory, 1), steps * energy.evaluations, seconds)


@torch.no_grad()
def _constrained(pixels: torch.Tensor, preprocess: Preprocess, constraint: Constraint) -> torch.Tensor:
    return (constraint(preprocess.invert(pixels)) - preprocess.mean) / preprocess.std
