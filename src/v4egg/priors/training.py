"""Training of a diffusion prior on the image pool, and sampling from it.

The network predicts the velocity (Salimans & Ho 2022) under the squared-cosine schedule of Nichol & Dhariwal (2021).
The weights of the result are exponential moving averages.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor

from v4egg.device import autocast, to_channels_last
from v4egg.errors import V4eggError
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.prior import Prior
from v4egg.priors.steps import random_batch, train_by_steps
from v4egg.seeding import seed_of


def new_prior(options: Mapping[str, Any]) -> Prior:
    """Build an untrained prior.

    Args:
        options: ``size`` (px) and ``channels`` of the images; ``patch_size``; ``widths``, the channels of each level;
            ``layers``, residual blocks per level.

    Raises:
        V4eggError: the size is not divisible by patch_size x 2^(levels - 1).

    Example:
        >>> new_prior({"size": 16, "channels": 3, "patch_size": 2, "widths": [16, 32], "layers": 1}).image_shape
        (3, 16, 16)
    """
    patch_size, size, widths = options["patch_size"], options["size"], tuple(options["widths"])
    reduction = patch_size * 2 ** (len(widths) - 1)
    if size % reduction:
        raise V4eggError(f"prior: size {size} is not divisible by {reduction} (patch_size x 2^(levels - 1)); change it")
    levels = len(widths)
    unet = UNet2DModel(
        sample_size=size // patch_size,
        in_channels=options["channels"] * patch_size**2,
        out_channels=options["channels"] * patch_size**2,
        block_out_channels=widths,
        layers_per_block=options["layers"],
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
        norm_num_groups=16,
        attention_head_dim=32,
    )
    scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )
    return Prior(unet, {k: v for k, v in scheduler.config.items() if not k.startswith("_")}, patch_size)


def train_prior(
    images: np.ndarray,
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
    device: str = "cpu",
) -> tuple[Prior, dict[str, list[float]]]:
    """Train a prior.

    Args:
        images: the pool, uint8 (n, channel, y, x) of the prior's size and colour.
        options: those of :func:`new_prior`, ``steps``, ``batch_size`` and ``learning_rate``.
        seed: the random numbers of each step depend on the seed and the step only, so that a resumed run gives the same
            result as an uninterrupted one.
        checkpoint: where the state is saved as the training goes; an existing state is resumed.
        progress: wraps the range of steps, for a progress bar.
        device: where to compute.

    Returns:
        The prior on the CPU, with exponentially averaged weights, and its curve ``loss``, each point the mean over
        :data:`v4egg.priors.steps.CURVE_EVERY` steps.

    Raises:
        V4eggError: the loss is not finite; the message gives the step.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8)
        >>> network = {"size": 8, "channels": 1, "patch_size": 1, "widths": [16, 32], "layers": 1}
        >>> training = {"steps": 2, "batch_size": 4, "learning_rate": 1e-3}
        >>> prior, curves = train_prior(images, network | training, seed=0)
        >>> prior.image_shape, list(curves)
        ((1, 8, 8), ['loss'])
    """
    torch.manual_seed(seed_of(seed, "initialisation"))
    prior = to_channels_last(new_prior(options), device).train()
    average = EMAModel(prior.unet.parameters(), decay=0.999)
    optimizer = torch.optim.AdamW(prior.unet.parameters(), lr=options["learning_rate"], weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, max(1, options["steps"] // 20), options["steps"])
    curve = train_by_steps(
        "prior",
        lambda step: _loss(prior, images, options["batch_size"], seed, step),
        prior.unet,
        optimizer,
        schedule,
        options["steps"],
        average=average,
        checkpoint=checkpoint,
        progress=progress,
    )
    average.copy_to(prior.unet.parameters())
    return prior.eval().cpu(), {"loss": curve}


def _loss(prior: Prior, images: np.ndarray, batch_size: int, seed: int, step: int) -> Tensor:
    """Mean squared error of the velocity on a random batch, half of whose images are flipped left-right."""
    device = prior.unet.device
    rng = torch.Generator().manual_seed(seed_of(seed, "step", step))
    clean = random_batch(images, batch_size, rng) * 2 - 1
    noise = torch.randn(clean.shape, generator=rng)
    times = torch.randint(prior.schedule["num_train_timesteps"], (batch_size,), generator=rng)
    scheduler = prior.scheduler()
    noisy = scheduler.add_noise(clean, noise, times).to(device)
    velocity = scheduler.get_velocity(clean, noise, times).to(device)
    with autocast(device):
        predicted = prior.predict(noisy, times.to(device))
    return (predicted - velocity).square().mean()


@torch.no_grad()
def sample(prior: Prior, rngs: list[torch.Generator], steps: int) -> Tensor:
    """Draw unguided ancestral samples.

    Args:
        prior: frozen.
        rngs: one CPU generator per sample.
        steps: number of denoising steps.

    Returns:
        Images (n, *image_shape) in [0, 1]: the last x0_hat of each.
    """
    scheduler = prior.scheduler(steps)
    noisy = torch.cat([torch.randn((1, *prior.shape), generator=rng) for rng in rngs]).to(prior.unet.device)
    for timestep in scheduler.timesteps:
        output = prior.predict(noisy, timestep)
        clean = prior.clean(noisy, output, timestep)
        noisy = scheduler.step(output, timestep, noisy, generator=rngs).prev_sample
    return prior.decode(clean).clamp(0, 1)
