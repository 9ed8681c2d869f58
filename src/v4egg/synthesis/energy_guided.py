"""Energy-guided diffusion (EGG): sampling of a diffusion prior, guided by the gradient of an energy.

Pierzchlewicz et al., "Energy guided diffusion for generating neurally exciting images", NeurIPS 2023. Unlike in the
published code, gradients are normalised per image, so that no image depends on the batch that it was made in.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import SchedulerMixin
from pydantic import Field
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, blur
from v4egg.priors.loading import load_prior
from v4egg.priors.prior import Prior
from v4egg.synthesis.constraints import Constraint
from v4egg.synthesis.jitter import Jitter
from v4egg.synthesis.method import MethodOptions, Task
from v4egg.synthesis.result import Synthesis, check_denoised, check_finite, image_gradients
from v4egg.synthesis.schedulers import GuidedSteps

GUIDANCE = ("full", "straight_through")
OnStep = Callable[[int, Tensor, dict[str, Tensor]], dict[str, Tensor] | None]


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
        options = self.model_dump(include={"steps", "energy_scale", "sampler", "guidance", "noise_scaled", "smoothing"})
        return energy_guided(
            task.energy, task.rngs, prior, constraint=task.constraint, progress=task.progress, **options
        )


@torch.enable_grad()
def energy_guided(
    energy: Callable[[Tensor], Tensor],
    rngs: Sequence[torch.Generator],
    prior: Prior,
    *,
    steps: int = 50,
    energy_scale: float | Sequence[float] = 1.0,
    smoothing: float = 0.0,
    sampler: str = "ancestral",
    guidance: str = "full",
    noise_scaled: bool = False,
    constraint: Constraint,
    scheduler: SchedulerMixin | None = None,
    noise: Tensor | None = None,
    on_step: OnStep | None = None,
    progress: Callable[[Any], Any] = iter,
) -> Synthesis:
    """Sample a diffusion prior; each step also moves ``energy_scale`` along the negative gradient of the energy.

    At x_t: x0_hat = denoiser(x_t), g = d E(constraint(x0_hat)) / d x_t through the denoiser, g scaled to unit L2 norm
    per image, x_{t-1} = sampler's step - lambda g. The result is the last x0_hat. With a prior over latents, the energy
    sees x0_hat decoded.

    Args:
        energy: what to minimise: images (n, C, y, x) in [0, 1] -> energies (n,), differentiable.
        rngs: one generator for each image, for its starting and step noise; on the CPU, or on the prior's device.
        prior: the diffusion prior, in evaluation mode.
        steps: evenly spaced denoising steps (published: 100).
        energy_scale: lambda, an L2 length in the prior's pixel space [-1, 1], or in its latents; one for all images or
            one for each.
        smoothing: standard deviation in pixels of a Gaussian over the guidance gradient (published: none).
        sampler: how x_{t-1} follows from x_t, a name of :data:`v4egg.priors.prior.SAMPLERS` (published: ancestral).
        guidance: ``full``, the gradient with respect to x_t through the denoiser (published), or ``straight_through``,
            that with respect to x0_hat in its place, which needs no backward pass through the denoiser.
        noise_scaled: whether lambda shrinks with the noise level, by sqrt(1 - alpha_bar_t) (published: no).
        constraint: applied to an image before the energy sees it, and at the end.
        scheduler: a scheduler from :func:`v4egg.synthesis.schedulers.guidable` in place of the one that ``sampler``
            names.
        noise: starting noise (n, *prior.shape) in place of drawn noise.
        on_step: called after each step with its number, the timestep and the tensors ``latents`` (x_{t-1}), ``clean``
            (x0_hat) and ``energies``; may return ``latents`` to go on from.
        progress: wraps the timesteps, for a progress bar.

    Returns:
        The images, at the prior's size and colour, with their energies.

    Raises:
        V4eggError: ``energy_scale`` is negative, sampler or guidance are unknown, the energy is not finite (names
            energy, unit and step) or has no gradient.
    """
    start = time.perf_counter()
    rngs = list(rngs)
    device = prior.unet.device
    scale = _scale(energy_scale, len(rngs)).to(device)
    if guidance not in GUIDANCE:
        raise V4eggError(f"unknown guidance '{guidance}'; known: {', '.join(GUIDANCE)}")
    guided = GuidedSteps(prior, prior.scheduler(None, sampler) if scheduler is None else scheduler, steps)
    noisy = guided.start(rngs, device, noise)
    trajectory: list[Tensor] = []
    for timestep in progress(guided.timesteps):
        output, clean, energies, gradient = _denoised(energy, constraint, guided, noisy, timestep, guidance)
        check_denoised(noisy, clean, "energy guided diffusion", len(trajectory))
        check_finite(energies, energy, "energy guided diffusion", len(trajectory))
        gradient = blur(gradient, smoothing)
        length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        with torch.no_grad():
            shrink = (1 - guided.alpha_bar(timestep)) ** 0.5 if noise_scaled else 1.0
            noisy = guided.step(output, timestep, noisy.detach(), rngs)
            noisy = noisy - guided.unit_length() * shrink * scale * gradient / (length + 1e-6)
        trajectory.append(energies)
        if on_step is not None:
            tensors = {"latents": noisy, "clean": clean, "energies": energies}
            noisy = (on_step(len(trajectory) - 1, timestep, tensors) or tensors).get("latents", noisy)
    with torch.no_grad():
        images = constraint(prior.decode(clean)).clamp(0, 1)
        final = energy(images)
    seconds = time.perf_counter() - start
    evaluations = steps * getattr(energy, "evaluations", 1)  # a plain function is an energy too
    return Synthesis(images, final, torch.stack(trajectory, 1), evaluations, seconds)


def _denoised(
    energy: Callable[[Tensor], Tensor],
    constraint: Constraint,
    guided: GuidedSteps,
    noisy: Tensor,
    timestep: Tensor,
    guidance: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The denoiser's output, x0_hat, its energies, and their gradient with respect to x_t or x0_hat."""
    full = guidance == "full"
    with torch.set_grad_enabled(full):
        noisy.requires_grad_(full)
        output, clean = guided.denoise(noisy, timestep)
    source = noisy if full else clean.requires_grad_()
    energies = energy(constraint(guided.prior.decode(clean)))
    (gradient,) = image_gradients(energies, source)
    return output.detach(), clean.detach(), energies.detach(), gradient


def load_guide(path: str | Path | Prior, stimulus_spec: Preprocess, device: str = "cpu") -> Prior:
    """The prior in a store, for images that are shown to an encoder.

    Priors of grey and RGB images of any size fit every encoder, which resizes and converts. Others are refused.

    Args:
        path: the prior's store.
        stimulus_spec: size and colour of the images that are made for the encoder.
        device: where the prior is to compute.

    Raises:
        V4eggError: the prior's images are neither grey nor RGB; names both shapes.
    """
    prior = path if isinstance(path, Prior) else load_prior(path, device)
    check_guide(prior, stimulus_spec, "" if isinstance(path, Prior) else f"{path}: ")
    return prior


def check_guide(prior: Prior, stimulus_spec: Preprocess, where: str = "") -> None:
    """Raise where a prior's images are neither grey nor RGB, so that an encoder cannot take them."""
    if prior.image_shape[0] in (1, 3):
        return
    expected = (stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
    raise V4eggError(
        f"{where}the prior makes images of shape {prior.image_shape} and the encoder takes {expected} (channel, y, x); "
        "sizes are resized and grey and RGB are converted, other channels are not: give a prior of grey or RGB images"
    )


def _scale(energy_scale: float | Sequence[float], n: int) -> Tensor:
    """Lambda of each image (n, 1, 1, 1)."""
    scale = torch.as_tensor(energy_scale, dtype=torch.float32)
    if scale.ndim and len(scale) != n:
        raise V4eggError(f"{len(scale)} energy_scale for {n} images; give one for all, or one each")
    if (scale < 0).any():
        raise V4eggError(f"energy_scale is {energy_scale}; lambda must be 0 or above")
    return scale.expand(n).view(n, 1, 1, 1)
