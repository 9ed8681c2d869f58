"""What guidance needs of a diffusers scheduler: the noise level of each step, the denoised image, and the next state.

Two kinds are supported. Variance-preserving schedulers (DDPM, DDIM, DPM-Solver++) keep x_t = sqrt(alpha_bar) x_0 +
sqrt(1 - alpha_bar) eps. Euler schedulers keep x_sigma = x_0 + sigma eps (Karras et al., NeurIPS 2022), which is the
former divided by sqrt(alpha_bar) = 1 / sqrt(sigma^2 + 1); a guidance step of length lambda is divided likewise. Both
evaluate the denoiser once per step. Schedulers that evaluate it several times have no single denoised image per step
and are refused.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
)
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.priors.prior import Ancestral, Prior
from v4egg.priors.schedule import check_schedule

PRESERVING = (DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler)
EULER = (EulerDiscreteScheduler, EulerAncestralDiscreteScheduler)
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def guidable(scheduler: SchedulerMixin) -> SchedulerMixin:
    """A fresh copy of a scheduler that sampling can be guided with; DDPM's as v4egg's ancestral sampler.

    Args:
        scheduler: any scheduler of diffusers.

    Returns:
        A scheduler of the same configuration, whose timesteps are not set.

    Raises:
        V4eggError: the scheduler, or what its denoiser predicts, cannot be guided.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> type(guidable(DDIMScheduler())).__name__
        'DDIMScheduler'
    """
    name, prediction = type(scheduler).__name__, scheduler.config.get("prediction_type", "epsilon")
    if not isinstance(scheduler, PRESERVING + EULER):
        supported = ", ".join(kind.__name__ for kind in PRESERVING + EULER)
        raise V4eggError(f"{name} cannot be guided; set pipe.scheduler to one of {supported}")
    if scheduler.config.get("use_flow_sigmas") or prediction not in PREDICTIONS:
        raise V4eggError(f"{name} predicts {prediction!r} or a flow, which cannot be guided; use {PREDICTIONS}")
    if isinstance(scheduler, EULER) and prediction == "sample":
        raise V4eggError(f"{name} does not step a denoiser that predicts the sample; use DDIMScheduler")
    check_schedule(scheduler.config, f"{name}: ")
    kind = Ancestral if type(scheduler) is DDPMScheduler else type(scheduler)
    return kind.from_config(scheduler.config)


class GuidedSteps:
    """The denoising steps of one batch of images.

    Args:
        prior: the diffusion prior.
        scheduler: a fresh scheduler, see :func:`guidable`.
        steps: number of denoising steps.

    Raises:
        V4eggError: ``steps`` is not between 1 and the scheduler's training steps.
    """

    def __init__(self, prior: Prior, scheduler: SchedulerMixin, steps: int):
        if not 1 <= steps <= scheduler.config.num_train_timesteps:
            raise V4eggError(f"steps is {steps}; use 1 to {scheduler.config.num_train_timesteps}")
        scheduler.set_timesteps(steps)
        self.prior, self.scheduler = prior, scheduler
        self.euler = isinstance(scheduler, EULER)
        self.draws_noise = "generator" in inspect.signature(scheduler.step).parameters
        self.timesteps = scheduler.timesteps

    def start(self, rngs: Sequence[torch.Generator], device: torch.device, noise: Tensor | None = None) -> Tensor:
        """The first x_t (n, *prior.shape), from noise that is drawn by one generator for each image, or given.

        Raises:
            V4eggError: the noise has another shape, or a generator cannot draw for the device.
        """
        shape = (len(rngs), *self.prior.shape)
        if noise is None:
            noise = draw_noise(shape, rngs, device)
        elif tuple(noise.shape) != shape:
            raise V4eggError(f"latents have shape {tuple(noise.shape)}; give {shape}")
        noise = noise.to(device, torch.float32)
        return noise * self.scheduler.init_noise_sigma if self.euler else noise

    def denoise(self, noisy: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """The denoiser's output for x_t, and the denoised image x0_hat that it implies."""
        if not self.euler:
            output = self.prior.predict(noisy, timestep)
            return output, self.prior.clean(noisy, output, timestep)
        inputs = self.scheduler.scale_model_input(noisy, timestep)
        output = self.prior.predict(inputs, timestep)
        return output, self.prior.clean_at(inputs, output, self.alpha_bar(timestep).to(noisy.device))

    def alpha_bar(self, timestep: Tensor) -> Tensor:
        """Share of the variance of x_t that is signal, before the step."""
        if self.euler:
            return 1 / (self.scheduler.sigmas[self.scheduler.step_index].double() ** 2 + 1).float()
        return self.scheduler.alphas_cumprod[timestep]

    def step(self, output: Tensor, timestep: Tensor, noisy: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """The next x_t. Only the ancestral sampler uses a learned variance, the further channels of the output."""
        options: dict[str, Any] = {"generator": list(rngs)} if self.draws_noise else {}
        if not isinstance(self.scheduler, DDPMScheduler):
            output = output[:, : noisy.shape[1]]
        return self.scheduler.step(output, timestep, noisy, **options).prev_sample

    def unit_length(self) -> float:
        """What a guidance step of length 1 measures in the scheduler's x_t, after the step."""
        if not self.euler:
            return 1.0
        return float((self.scheduler.sigmas[self.scheduler.step_index] ** 2 + 1) ** 0.5)


def draw_noise(shape: tuple[int, ...], rngs: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """Standard normal noise, the first dimension by one generator each, on CPU generators' or the device's own.

    Raises:
        V4eggError: a generator of another device than the CPU is to draw for a different device.
    """
    try:
        return randn_tensor(shape, generator=list(rngs), device=torch.device(device), dtype=torch.float32)
    except ValueError as error:
        kind = next(rng.device for rng in rngs if rng.device.type != "cpu")
        raise V4eggError(
            f"a generator on {kind} cannot draw for {device}; give CPU generators, or some on {device}"
        ) from error
