"""Energy guided diffusion (EGG): a diffusion prior's sampling steered by the gradient of an energy.

Pierzchlewicz et al., NeurIPS 2023. Unlike the reference, gradients are normalised per image, so that no image depends
on the batch that it was made in.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, blur
from v4egg.priors.loading import load_prior
from v4egg.priors.prior import Ancestral, Prior
from v4egg.synthesis.constraints import Constraint
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.jitter import Jitter
from v4egg.synthesis.method import MethodOptions, Task
from v4egg.synthesis.result import Synthesis, check_finite

GUIDANCE = ("full", "straight_through")


class EnergyGuided(MethodOptions):
    """Energy-guided diffusion (EGG): the prior's sampling, steered by the gradient of the energy."""

    steps: int = Field(50, ge=1, description="Denoising steps.")
    energy_scale: float = Field(2.0, ge=0, description="lambda: L2 length of a guidance step.")
    sampler: Literal["ancestral", "ddim", "dpm_solver"] = Field(
        "ancestral", description="Sampler of the denoising steps; ddim and dpm_solver draw no noise on the way."
    )
    guidance: Literal["full", "straight_through"] = Field(
        "full",
        description="Gradient through the denoiser, or that at the denoised image in its place, which is cheaper.",
    )
    noise_scaled: bool = Field(False, description="Whether lambda shrinks with the noise level.")
    smoothing: float = Field(0.0, ge=0, description="Standard deviation in pixels of a Gaussian over the gradient.")
    jitter: Jitter = Jitter()

    def synthesize(self, task: Task) -> Synthesis:
        """The images of a task; reads the store ``prior``."""
        prior = load_guide(task.stores["prior"], task.stimulus_spec, task.device)
        own = self.model_dump(include={"steps", "energy_scale", "sampler", "guidance", "noise_scaled", "smoothing"})
        shared = {"constraint": task.constraint, "progress": task.progress}
        return energy_guided(task.energy, task.draws, prior, **shared, **own)


def energy_guided(
    energy: Energy,
    generators: Sequence[torch.Generator],
    prior: Prior,
    *,
    steps: int = 50,
    energy_scale: float | Sequence[float] = 1.0,
    smoothing: float = 0.0,
    sampler: str = "ancestral",
    guidance: str = "full",
    noise_scaled: bool = False,
    constraint: Constraint,
    progress: Callable[[Any], Any] = iter,
) -> Synthesis:
    """Ancestral sampling in which each step also walks ``energy_scale`` down the energy of the denoised image.

    At x_t: x0_hat = denoiser(x_t), g = d E(constraint(x0_hat)) / d x_t through the denoiser, g scaled to unit L2 norm
    per image, x_{t-1} = ancestral step - lambda g. The result is the last x0_hat. Of a prior over latents, the energy
    sees x0_hat decoded.

    Args:
        energy: what to minimise, of images in [0, 1].
        generators: one CPU generator an image, for its starting and step noise.
        prior: the diffusion prior.
        steps: evenly respaced ancestral steps (published: 100).
        energy_scale: lambda, an L2 length in the prior's pixel space [-1, 1], or in its latents; one for all images or
            one each.
        smoothing: sigma in pixels of a Gaussian over the guidance gradient (published: none).
        sampler: how x_{t-1} follows from x_t, a name of :data:`v4egg.priors.prior.SAMPLERS` (published: ancestral).
        guidance: ``full``, the gradient with respect to x_t through the denoiser (published), or ``straight_through``,
            that with respect to x0_hat in its place, which spares the way back through the denoiser.
        noise_scaled: whether lambda shrinks with the noise level, by sqrt(1 - alpha_bar_t) (published: no).
        constraint: what an image becomes before the energy sees it, and at the end.

    Raises:
        V4eggError: ``energy_scale`` is negative, sampler or guidance are unknown, or the energy is not finite; names
            energy, unit and step.
    """
    start = time.perf_counter()
    generators = list(generators)
    scale = _scale(energy_scale, len(generators)).to(prior.unet.device)
    if guidance not in GUIDANCE:
        raise V4eggError(f"unknown guidance '{guidance}'; known: {', '.join(GUIDANCE)}")
    scheduler = prior.scheduler(steps, sampler)
    noisy = torch.cat([torch.randn((1, *prior.shape), generator=g) for g in generators]).to(prior.unet.device)
    trajectory = []
    for timestep in progress(scheduler.timesteps):
        with torch.set_grad_enabled(guidance == "full"):
            noisy.requires_grad_(guidance == "full")
            output = prior.predict(noisy, timestep)
            clean = prior.clean(noisy, output, timestep)
        source = noisy if guidance == "full" else clean.requires_grad_()
        energies = energy(constraint(prior.decode(clean)))
        check_finite(energies, energy, "energy guided diffusion", len(trajectory))
        (gradient,) = torch.autograd.grad(energies.sum(), source)
        gradient = blur(gradient, smoothing)
        length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        with torch.no_grad():
            shrink = (1 - scheduler.alphas_cumprod[timestep]) ** 0.5 if noise_scaled else 1.0
            noisy = _step(scheduler, output, timestep, noisy.detach(), generators)
            noisy = noisy - shrink * scale * gradient / (length + 1e-6)
        trajectory.append(energies.detach())
    with torch.no_grad():
        images = constraint(prior.decode(clean.detach())).clamp(0, 1)
        final = energy(images)
    seconds = time.perf_counter() - start
    evaluations = steps * getattr(energy, "evaluations", 1)  # a plain function is an energy too
    return Synthesis(images, final, torch.stack(trajectory, 1), evaluations, seconds)


def load_guide(path: str | Path | Prior, stimulus_spec: Preprocess, device: str = "cpu") -> Prior:
    """The prior in a store, or the given one, for images that an encoder with this canvas sees.

    Grey and RGB of any size are bridged: the encoder resizes and converts. Anything else is refused.

    Raises:
        V4eggError: the prior's images are neither grey nor RGB; names both shapes.
    """
    prior = path if isinstance(path, Prior) else load_prior(path, device)
    if prior.image_shape[0] not in (1, 3):
        wanted = (stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
        raise V4eggError(
            f"{path}: the prior makes images of shape {prior.image_shape} and the encoder takes {wanted} "
            "(channel, y, x); size and grey or RGB are bridged, other channels are not: give a prior of such images"
        )
    return prior


def _scale(energy_scale: float | Sequence[float], n: int) -> torch.Tensor:
    """Lambda of each image (n, 1, 1, 1)."""
    scale = torch.as_tensor(energy_scale, dtype=torch.float32)
    if scale.ndim and len(scale) != n:
        raise V4eggError(f"{len(scale)} energy_scale for {n} images; give one for all, or one each")
    if (scale < 0).any():
        raise V4eggError(f"energy_scale is {energy_scale}; lambda must be 0 or above")
    return scale.expand(n).view(n, 1, 1, 1)


def _step(scheduler, output, timestep, noisy, generators: list[torch.Generator]) -> torch.Tensor:
    """x_{t-1}; only the ancestral step draws noise, and only it knows a learned variance."""
    if isinstance(scheduler, Ancestral):
        return scheduler.step(output, timestep, noisy, generator=generators).prev_sample
    return scheduler.step(output[:, : noisy.shape[1]], timestep, noisy).prev_sample
