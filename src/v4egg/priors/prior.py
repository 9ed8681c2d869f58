"""The interface of every image prior: a denoiser, its image shape, and a diffusers scheduler that steps it."""

import json
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    ModelMixin,
    SchedulerMixin,
)
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.io import stores

MAX_LOG_VARIANCE = 5.0  # of a step, as in EGG; only a learned variance could exceed it


class Ancestral(DDPMScheduler):
    """DDPM's ancestral steps, with learned variances kept within bounds."""

    def _get_variance(self, *args, **kwargs) -> Tensor:
        return super()._get_variance(*args, **kwargs).clamp(max=MAX_LOG_VARIANCE)


SAMPLERS = {
    "ancestral": Ancestral,
    "ddim": DDIMScheduler,  # deterministic (Song et al. 2021)
    "dpm_solver": DPMSolverMultistepScheduler,  # DPM-Solver++ of second order (Lu et al. 2022)
}


class Prior(nn.Module):
    """A diffusion prior over images (C, y, x) in [-1, 1]; :class:`v4egg.priors.latent.LatentPrior` is one over latents.

    Args:
        unet: denoising network, a diffusers model whose configuration has ``sample_size`` and ``in_channels``; sees
            images folded by ``patch_size`` (pixel-unshuffle: fewer, wider pixels are faster).
        schedule: configuration of a :class:`diffusers.DDPMScheduler`, its prediction and variance types included.
        patch_size: side of the pixel blocks that become channels.

    Attributes:
        shape: (channels, y, x) of what is noised and denoised: the images, or their latents.
        image_shape: (channels, y, x) of the images.
    """

    def __init__(self, unet: ModelMixin, schedule: Mapping[str, Any], patch_size: int = 2):
        super().__init__()
        self.unet, self.patch_size = unet, patch_size
        self.schedule = dict(schedule)
        size = unet.config.sample_size * patch_size
        self.shape = self.image_shape = (unet.config.in_channels // patch_size**2, size, size)
        self._reference = self.scheduler()

    def scheduler(self, steps: int | None = None, sampler: str = "ancestral") -> SchedulerMixin:
        """The noise schedule as a fresh scheduler of :data:`SAMPLERS`; with ``steps``, respaced evenly for sampling.

        Raises:
            V4eggError: no sampler has that name, or there are fewer training steps than ``steps``.
        """
        if sampler not in SAMPLERS:
            raise V4eggError(f"unknown sampler '{sampler}'; known: {', '.join(sorted(SAMPLERS))}")
        scheduler = SAMPLERS[sampler].from_config(self.schedule)
        if steps is not None:
            if not 1 <= steps <= scheduler.config.num_train_timesteps:
                raise V4eggError(f"steps is {steps}; use 1 to {scheduler.config.num_train_timesteps}")
            scheduler.set_timesteps(steps)
        return scheduler

    def predict(self, noisy: Tensor, timestep: Tensor | int) -> Tensor:
        """The network's output (noise, velocity or sample, by the schedule) for x_t (B, C, y, x), in float32.

        A learned variance follows as C further channels: ``scheduler().step`` and :meth:`clean` know the two apart.
        """
        if tuple(noisy.shape[1:]) != self.shape:
            raise V4eggError(f"the prior takes images of shape {self.shape}, not {tuple(noisy.shape[1:])}")
        folded = F.pixel_unshuffle(noisy, self.patch_size).to(self.unet.dtype, memory_format=torch.channels_last)
        return F.pixel_shuffle(self.unet(folded, timestep).sample.float(), self.patch_size)

    def denoise(self, noisy: Tensor, timestep: Tensor | int) -> Tensor:
        """The expected clean image x0_hat (B, C, y, x), not clipped."""
        return self.clean(noisy, self.predict(noisy, timestep), timestep)

    def clean(self, noisy: Tensor, output: Tensor, timestep: Tensor | int) -> Tensor:
        """x0_hat from x_t and the network's output."""
        alpha_bar = self._reference.alphas_cumprod.to(noisy)[timestep]
        return self.clean_at(noisy, output, alpha_bar.view(-1, 1, 1, 1) if alpha_bar.ndim else alpha_bar)

    def clean_at(self, noisy: Tensor, output: Tensor, alpha_bar: Tensor) -> Tensor:
        """x0_hat from x_t and the network's output, where ``alpha_bar`` of the variance of x_t is signal."""
        output = output[:, : noisy.shape[1]]  # without a learned variance
        kind = self._reference.config.prediction_type
        if kind == "sample":
            return output
        if kind == "v_prediction":
            return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * output
        return (noisy - (1 - alpha_bar).sqrt() * output) / alpha_bar.sqrt()

    def decode(self, clean: Tensor) -> Tensor:
        """x0_hat (B, *shape) as images (B, *image_shape), [0, 1] but not clipped; differentiable."""
        return (clean + 1) / 2

    def weights(self) -> dict[str, Tensor]:
        """All weights by name, for a store."""
        return self.unet.state_dict()

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights that :meth:`weights` gave."""
        self.unet.load_state_dict(state)

    def save(self, path, *, curves=None, **provenance) -> None:
        """Write weights, network configuration and schedule to a store of kind ``weights``."""
        attrs = {"prior": json.dumps(self.spec())}
        stores.save_weights(self.weights(), path, curves=curves, attrs=attrs, **provenance)

    def enable_gradient_checkpointing(self) -> None:
        """Compute activations again on the way back rather than keep them: less memory, more time, equal gradients."""
        for network in self.children():
            network.enable_gradient_checkpointing()

    def spec(self) -> dict[str, Any]:
        """What rebuilds the prior without its weights, see :func:`v4egg.priors.loading.prior_from_spec`."""
        network = {"class": type(self.unet).__name__, "unet": network_options(self.unet)}
        use = {"checkpointing": self.unet.is_gradient_checkpointing}
        return {**network, "schedule": self.schedule, "patch_size": self.patch_size, **use}


def network_options(network: ModelMixin) -> dict[str, Any]:
    """What rebuilds a diffusers network without its weights."""
    return {k: v for k, v in network.config.items() if not k.startswith("_")}


def frozen(prior: Prior, device: str, precision: torch.dtype) -> Prior:
    """The prior as synthesis uses it: there, in that precision, in evaluation mode, without gradients of weights."""
    for name, network in prior.named_children():  # a decoder of latents keeps its precision
        # the module's own .to: diffusers' warns of nothing here
        kept = precision if name == "unet" else torch.float32
        nn.Module.to(network, device, kept, memory_format=torch.channels_last)
    return prior.eval().requires_grad_(False)
