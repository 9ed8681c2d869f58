"""The interface of image priors: a denoising network, the shape of its images, and its noise schedule."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
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

from v4egg.device import to_channels_last
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.priors.schedule import check_schedule

MAX_LOG_VARIANCE = 5.0  # of a step, as in EGG; only a learned variance could exceed it


class Ancestral(DDPMScheduler):
    """The ancestral sampler of DDPM (Ho et al. 2020) with an upper bound on learned log variances.

    Example:
        >>> len(Ancestral(num_train_timesteps=100).betas)
        100
    """

    def _get_variance(self, *args: Any, **kwargs: Any) -> Tensor:
        variance: Tensor = super()._get_variance(*args, **kwargs)
        return variance.clamp(max=MAX_LOG_VARIANCE)


SAMPLERS = {
    "ancestral": Ancestral,
    "ddim": DDIMScheduler,  # deterministic (Song et al. 2021)
    "dpm_solver": DPMSolverMultistepScheduler,  # DPM-Solver++ of second order (Lu et al. 2022)
}


class Prior(nn.Module):
    """A diffusion prior over images (channel, y, x) in [-1, 1].

    :class:`v4egg.priors.latent.LatentPrior` is the same over the latents of an autoencoder.

    Args:
        unet: denoising network, a diffusers model whose configuration has ``sample_size`` and ``in_channels``. Its
            input is the image after pixel unshuffling with ``patch_size``: fewer pixels with more channels are faster.
        schedule: configuration of a :class:`diffusers.DDPMScheduler`, including its prediction and variance types.
        patch_size: side in px of the blocks that become channels.

    Raises:
        V4eggError: the network is not square, or no image can be computed from what it predicts under the schedule.

    Attributes:
        shape: (channel, y, x) of the tensors that are noised and denoised: images or their latents.
        image_shape: (channel, y, x) of the images.

    Example:
        >>> from v4egg.priors.training import new_prior
        >>> prior = new_prior({"size": 16, "channels": 1, "patch_size": 2, "widths": [16, 32], "layers": 1})
        >>> prior.image_shape
        (1, 16, 16)
        >>> prior.denoise(torch.zeros(2, 1, 16, 16), 500).shape
        torch.Size([2, 1, 16, 16])
    """

    _reference: SchedulerMixin

    def __init__(self, unet: ModelMixin, schedule: Mapping[str, Any], patch_size: int = 2):
        super().__init__()
        self.unet, self.patch_size = unet, patch_size
        self.schedule = dict(schedule)
        check_schedule(self.schedule)
        size = side_of(unet) * patch_size
        self.shape = self.image_shape = (unet.config.in_channels // patch_size**2, size, size)
        self._reference = self.scheduler()

    def scheduler(self, steps: int | None = None, sampler: str = "ancestral") -> SchedulerMixin:
        """Return a new scheduler with the prior's noise schedule.

        Args:
            steps: number of denoising steps, spaced evenly; None: all steps of the training.
            sampler: a key of :data:`SAMPLERS`.

        Raises:
            V4eggError: no sampler has that name, or there are fewer training steps than ``steps``.
        """
        if sampler not in SAMPLERS:
            raise V4eggError(f"unknown sampler '{sampler}'; give one of {', '.join(sorted(SAMPLERS))}")
        clipped = sampler == "dpm_solver" and self.schedule.get("clip_sample")
        # thresholds from 1 to 1, which is what the other samplers call clip_sample
        options = {"thresholding": True, "sample_max_value": 1.0} if clipped else {}
        scheduler = SAMPLERS[sampler].from_config(self.schedule, **options)
        if steps is not None:
            if not 1 <= steps <= scheduler.config.num_train_timesteps:
                raise V4eggError(f"steps is {steps}; use 1 to {scheduler.config.num_train_timesteps}")
            scheduler.set_timesteps(steps)
        return scheduler

    def predict(self, noisy: Tensor, timestep: Tensor | int) -> Tensor:
        """Return the output of the network: noise, velocity or sample, depending on the schedule.

        Args:
            noisy: x_t, (batch, *shape).
            timestep: one, or one per image.

        Returns:
            float32 (batch, *shape). Networks that also predict a variance return twice the channels, which
            ``scheduler().step`` and :meth:`clean` separate.

        Raises:
            V4eggError: the images have another shape than the prior's.
        """
        if tuple(noisy.shape[1:]) != self.shape:
            raise V4eggError(f"the prior takes images of shape {self.shape}, not {tuple(noisy.shape[1:])}")
        folded = F.pixel_unshuffle(noisy, self.patch_size).to(self.unet.dtype, memory_format=torch.channels_last)
        return F.pixel_shuffle(self.unet(folded, timestep).sample.float(), self.patch_size)

    def denoise(self, noisy: Tensor, timestep: Tensor | int) -> Tensor:
        """Return the expected clean image x0_hat (batch, *shape) of x_t, not clipped."""
        return self.clean(noisy, self.predict(noisy, timestep), timestep)

    def clean(self, noisy: Tensor, output: Tensor, timestep: Tensor | int) -> Tensor:
        """Compute x0_hat (batch, *shape) from x_t and the output of :meth:`predict` at the same time step."""
        alpha_bar = self._reference.alphas_cumprod.to(noisy)[timestep]
        return self.clean_at(noisy, output, alpha_bar.view(-1, 1, 1, 1) if alpha_bar.ndim else alpha_bar)

    def clean_at(self, noisy: Tensor, output: Tensor, alpha_bar: Tensor) -> Tensor:
        """Compute x0_hat from x_t and the output of :meth:`predict`.

        Args:
            noisy: x_t, (batch, *shape).
            output: of the network.
            alpha_bar: share of the signal in the variance of x_t; broadcasts against ``noisy``.

        Source:
            Ho et al. 2020 (NeurIPS), equation 15, for noise; Salimans & Ho 2022 (ICLR), appendix D, for velocity.
        """
        output = output[:, : noisy.shape[1]]  # without a learned variance
        kind = self._reference.config.prediction_type
        if kind == "sample":
            return output
        if kind == "v_prediction":
            return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * output
        return (noisy - (1 - alpha_bar).sqrt() * output) / alpha_bar.sqrt()

    def encode(self, images: Tensor) -> Tensor:
        """Convert images (batch, *image_shape) in [0, 1] to what is noised and denoised (batch, *shape)."""
        return images * 2 - 1

    def decode(self, clean: Tensor) -> Tensor:
        """Convert x0_hat (batch, *shape) to images (batch, *image_shape) in [0, 1], not clipped; differentiable."""
        return (clean + 1) / 2

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by name, for a store."""
        state: dict[str, Tensor] = self.unet.state_dict()
        return state

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights that :meth:`weights` returned."""
        self.unet.load_state_dict(state)

    def save(self, path: str | Path, *, curves: Mapping[str, Sequence[float]] | None = None, **provenance: Any) -> None:
        """Write weights, network configuration and schedule to a store of kind ``weights``.

        Args:
            path: the Zarr store to write.
            curves: of the training, such as ``loss``.
            provenance: ``config``, ``seed`` and ``inputs`` of :func:`v4egg.io.stores.save`.
        """
        attrs = {"prior": json.dumps(self.spec())}
        stores.save_weights(self.weights(), path, curves=curves, attrs=attrs, **provenance)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass instead of storing them: less memory, more time."""
        network: Any
        for network in self.children():
            network.enable_gradient_checkpointing()

    def spec(self) -> dict[str, Any]:
        """Return the specification from which :func:`v4egg.priors.loading.prior_from_spec` builds the same prior."""
        network = {"class": type(self.unet).__name__, "unet": network_options(self.unet)}
        use = {"checkpointing": self.unet.is_gradient_checkpointing}
        return {**network, "schedule": self.schedule, "patch_size": self.patch_size, **use}


def side_of(unet: ModelMixin) -> int:
    """Side in px of the square tensors that a denoising network takes.

    Raises:
        V4eggError: its configuration states none, or two that differ.
    """
    size = unet.config.sample_size
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise V4eggError(f"the network's sample_size is {' x '.join(map(str, size))}; only square images are supported")
    (side,) = sides
    if not isinstance(side, int):
        raise V4eggError("the network states no sample_size; set image_size")
    return side


def network_options(network: ModelMixin) -> dict[str, Any]:
    """Return the options from which ``from_config`` builds the same network, without its weights."""
    return {k: v for k, v in network.config.items() if not k.startswith("_")}


def frozen(prior: Prior, device: str, precision: torch.dtype) -> Prior:
    """Prepare a prior for synthesis: on a device, in evaluation mode, without gradients of its weights.

    Args:
        prior: changed in place.
        device: where to compute.
        precision: of the denoiser; an autoencoder stays in float32.

    Returns:
        The prior.
    """
    for name, network in prior.named_children():
        to_channels_last(network, device, precision if name == "unet" else torch.float32)
    return prior.eval().requires_grad_(False)
