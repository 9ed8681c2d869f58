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
from v4egg.images.processing import to_float
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.prior import Prior
from v4egg.seeding import seed_of

CURVE_EVERY = 25  # steps that one point of the loss curve averages
SAVE_EVERY = 250  # steps between two saved states


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
        checkpoint: where the state is saved every :data:`SAVE_EVERY` steps; an existing state is resumed.
        progress: wraps the range of steps, for a progress bar.
        device: where to compute.

    Returns:
        The prior on the CPU, with exponentially averaged weights, and its curve ``loss``, each point the mean over
        :data:`CURVE_EVERY` steps.

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
    parts = {"unet": prior.unet, "average": average, "optimizer": optimizer, "schedule": schedule}
    state = checkpoint.resume(parts) if checkpoint else None
    losses = list(state["losses"]) if state else []
    for step in progress(range(len(losses), options["steps"])):
        loss = _step(prior, images, options["batch_size"], seed, step)
        if not torch.isfinite(loss):
            raise V4eggError(f"prior: the loss is {loss.item()} at step {step}; lower prior.learning_rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.unet.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.step(prior.unet.parameters())
        losses.append(loss.item())
        if checkpoint and (step + 1) % SAVE_EVERY == 0:
            checkpoint.save({name: part.state_dict() for name, part in parts.items()} | {"losses": losses})
    average.copy_to(prior.unet.parameters())
    curve = [float(np.mean(losses[i : i + CURVE_EVERY])) for i in range(0, len(losses), CURVE_EVERY)]
    return prior.eval().cpu(), {"loss": curve}


def _step(prior: Prior, images: np.ndarray, batch_size: int, seed: int, step: int) -> Tensor:
    """Mean squared error of the velocity on a random batch, half of whose images are flipped left-right."""
    device = prior.unet.device
    generator = torch.Generator().manual_seed(seed_of(seed, "step", step))
    chosen = torch.randint(len(images), (batch_size,), generator=generator)
    clean = to_float(images[chosen.numpy()]) * 2 - 1
    flip = torch.rand(batch_size, generator=generator) < 0.5
    clean[flip] = clean[flip].flip(-1)
    noise = torch.randn(clean.shape, generator=generator)
    times = torch.randint(prior.schedule["num_train_timesteps"], (batch_size,), generator=generator)
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
