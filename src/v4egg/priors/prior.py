"""The interface of every image prior: a denoiser, its image shape, and a diffusers scheduler that steps it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from v4egg import stores
from v4egg.compute import fast_bf16
from v4egg.errors import V4eggError


class Prior(nn.Module):
    """A pixel-space diffusion prior over images (C, y, x) in [-1, 1].

    Args:
        unet: denoising network; sees images folded by ``fold`` (pixel-unshuffle: fewer, wider pixels are faster).
        schedule: configuration of a :class:`diffusers.DDPMScheduler`, its prediction type included.
        fold: side of the pixel blocks that become channels.

    Attributes:
        shape: (channels, y, x) of the images.
    """

    def __init__(self, unet: UNet2DModel, schedule: Mapping[str, Any], fold: int = 2):
        super().__init__()
        self.unet, self.fold = unet, fold
        self.schedule = dict(schedule)
        size = unet.config.sample_size * fold
        self.shape = (unet.config.in_channels // fold**2, size, size)
        self._reference = self.scheduler()

    def scheduler(self, steps: int | None = None) -> DDPMScheduler:
        """The noise schedule as a fresh scheduler; with ``steps``, respaced evenly for sampling."""
        scheduler = DDPMScheduler.from_config(self.schedule)
        if steps is not None:
            if not 1 <= steps <= scheduler.config.num_train_timesteps:
                raise V4eggError(f"steps is {steps}; use 1 to {scheduler.config.num_train_timesteps}")
            scheduler.set_timesteps(steps)
        return scheduler

    def predict(self, noisy: Tensor, timestep: Tensor | int) -> Tensor:
        """The network's output (noise, velocity or sample, by the schedule) for x_t (B, C, y, x), in float32."""
        if tuple(noisy.shape[1:]) != self.shape:
            raise V4eggError(f"the prior takes images of shape {self.shape}, not {tuple(noisy.shape[1:])}")
        folded = F.pixel_unshuffle(noisy, self.fold).to(self.unet.dtype, memory_format=torch.channels_last)
        return F.pixel_shuffle(self.unet(folded, timestep).sample.float(), self.fold)

    def denoise(self, noisy: Tensor, timestep: Tensor | int) -> Tensor:
        """The expected clean image x0_hat (B, C, y, x), not clipped."""
        return self.clean(noisy, self.predict(noisy, timestep), timestep)

    def clean(self, noisy: Tensor, output: Tensor, timestep: Tensor | int) -> Tensor:
        """x0_hat from x_t and the network's output."""
        alpha_bar = self._reference.alphas_cumprod.to(noisy)[timestep]
        alpha_bar = alpha_bar.view(-1, 1, 1, 1) if alpha_bar.ndim else alpha_bar
        kind = self._reference.config.prediction_type
        if kind == "sample":
            return output
        if kind == "v_prediction":
            return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * output
        return (noisy - (1 - alpha_bar).sqrt() * output) / alpha_bar.sqrt()

    def save(self, path, *, curves=None, **provenance) -> None:
        """Write weights, network configuration and schedule to a store of kind ``weights``."""
        attrs = {"prior": json.dumps(self.spec())}
        stores.save_weights(self.unet.state_dict(), path, curves=curves, attrs=attrs, **provenance)

    def spec(self) -> dict[str, Any]:
        """What rebuilds the prior without its weights, see :func:`prior_from_spec`."""
        network = {k: v for k, v in self.unet.config.items() if not k.startswith("_")}
        return {"unet": network, "schedule": self.schedule, "fold": self.fold}


def prior_from_spec(spec: Mapping[str, Any]) -> Prior:
    """An untrained prior of that specification."""
    return Prior(UNet2DModel.from_config(dict(spec["unet"])), spec["schedule"], spec["fold"])


def load_prior(path: str | Path, device: str = "cpu") -> Prior:
    """The prior in a ``prior.zarr`` store: frozen, in evaluation mode, in bf16 where the hardware is fast at it."""
    state, attrs = stores.load_weights(path)
    if "prior" not in attrs:
        raise V4eggError(f"{path}: these weights are not a prior's; give a store that train_prior wrote")
    prior = prior_from_spec(json.loads(attrs["prior"]))
    prior.unet.load_state_dict(state)
    precision = torch.bfloat16 if fast_bf16(device) else torch.float32
    # the module's own .to: diffusers' warns of nothing here
    nn.Module.to(prior.unet, device, precision, memory_format=torch.channels_last)
    return prior.eval().requires_grad_(False)
