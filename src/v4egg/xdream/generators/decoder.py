"""A small decoder trained on the image pool as part of a variational autoencoder, whose codes are then whitened."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.device import autocast
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, to_float
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.steps import random_batch, train_by_steps
from v4egg.seeding import seed_of
from v4egg.xdream.generators.generator import GeneratorOptions, ImageGenerator, store_of

_RIDGE = 1e-4  # smallest variance of any direction of the codes, as a fraction of the mean variance


class Decoder(ImageGenerator):
    """Codes (B, D) -> inverse whitening -> convolutions with upsampling -> images.

    Args:
        image_size: side of the images in pixels.
        channels: of the images, 1 or 3.
        latent: D, number of entries of a code.
        widths: channels of the maps from coarse to fine; each has twice the resolution of the one before.

    Raises:
        V4eggError: the image size is not divisible by 2^len(widths).
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, image_size: int, channels: int, latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        widths = list(widths)
        self.spec = {"image_size": image_size, "channels": channels, "latent": latent, "widths": widths}
        if image_size % 2 ** len(widths):
            raise V4eggError(f"decoder: size {image_size} is not divisible by {2 ** len(widths)} (2^levels); change it")
        base = image_size // 2 ** len(widths)
        self.size, self.shape = latent, (channels, image_size, image_size)
        self.down = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_block(4 * channels, widths[-1]),
            *(m for i in range(len(widths) - 1, 0, -1) for m in _block(widths[i], widths[i - 1], stride=2)),
            nn.Flatten(),
            nn.Linear(widths[0] * base**2, 2 * latent),
        )
        self.up = nn.Sequential(
            nn.Linear(latent, widths[0] * base**2),
            nn.Unflatten(1, (widths[0], base, base)),
            *_block(widths[0], widths[0]),
            *(m for i in range(1, len(widths)) for m in _finer(widths[i - 1], widths[i])),
            *_block(widths[-1], widths[-1]),
            nn.Conv2d(widths[-1], 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("factor", torch.eye(latent))  # lower triangular: covariance = factor factor^T

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x) of codes (B, D)."""
        with autocast(codes.device):
            return self.up(codes @ self.factor.T + self.mean).float()

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D) of images (B, C, y, x) in [0, 1]."""
        centred = (self.latents(images)[0] - self.mean).T
        return torch.linalg.solve_triangular(self.factor, centred, upper=False).T

    def latents(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, D) of the latents of images (B, C, y, x) in [0, 1], before whitening."""
        mean, log_variance = self.down(images).float().chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)

    @torch.no_grad()
    def whiten(self, images: np.ndarray) -> None:
        """Set the whitening so that standard normal codes have the latents' mean and covariance over images.

        Args:
            images: uint8 (n, c, y, x).
        """
        parts = [self.latents(to_float(images[i : i + 256]).to(self.mean.device)) for i in range(0, len(images), 256)]
        means = torch.cat([mean for mean, _ in parts]).double()
        noise = torch.cat([log_variance for _, log_variance in parts]).double().exp().mean(0)
        covariance = torch.cov(means.T).reshape(self.size, self.size) + torch.diag(noise)
        covariance += _RIDGE * covariance.diagonal().mean() * torch.eye(self.size, device=covariance.device)
        self.mean.copy_(means.mean(0))
        self.factor.copy_(torch.linalg.cholesky(covariance))

    def save(self, path: str | Path, *, curves: Mapping[str, Sequence[float]] | None = None, **provenance: Any) -> None:
        """Write weights and specification to a store of kind ``weights``.

        Args:
            path: the store.
            curves: training curves by name.
            provenance: passed on to :func:`v4egg.io.stores.save_weights`.
        """
        stores.save_weights(
            self.state_dict(), path, curves=curves, attrs={"decoder": json.dumps(self.spec)}, **provenance
        )


def load_decoder(path: str | Path, device: str = "cpu") -> Decoder:
    """Load a decoder from a store that :meth:`Decoder.save` wrote, frozen.

    Raises:
        V4eggError: there is no such store, or its weights are not those of a decoder.
    """
    state, attrs = stores.load_weights(path)
    if "decoder" not in attrs:
        raise V4eggError(f"{path}: the weights are not those of a decoder; give a store of the rule train_decoder")
    decoder = Decoder(**json.loads(attrs["decoder"]))
    decoder.load_state_dict(state)
    return decoder.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def train_decoder(
    images: np.ndarray,
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
    device: str = "cpu",
) -> tuple[Decoder, dict[str, list[float]]]:
    """Train a decoder as part of a variational autoencoder (Kingma & Welling, ICLR 2014).

    The loss is the mean squared error of pixels plus ``divergence`` times the mean Kullback-Leibler divergence of each
    latent variable from N(0, 1).

    Args:
        images: uint8 (n, c, size, size).
        options: ``size``, ``channels``, ``latent``, ``widths``, ``steps``, ``batch_size``, ``learning_rate``,
            ``divergence``.
        seed: of all random draws, which are keyed by step, so that a resumed run ends like an uninterrupted one.
        checkpoint: where the state is saved; an existing state is resumed.
        progress: wraps the loop over steps, such as a progress bar.
        device: where to train.

    Returns:
        The decoder, frozen, and its curve ``loss``, each point the mean over 25 steps.

    Raises:
        V4eggError: the loss is not finite; names the step.
    """
    torch.manual_seed(seed_of(seed, "decoder"))
    decoder = Decoder(options["size"], options["channels"], options["latent"], options["widths"])
    decoder = decoder.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=options["learning_rate"], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options["learning_rate"], total_steps=options["steps"] + 1, pct_start=0.1, cycle_momentum=False
    )
    curve = train_by_steps(
        "decoder",
        lambda step: _loss(decoder, images, options, seed, step),
        decoder,
        optimizer,
        schedule,
        options["steps"],
        checkpoint=checkpoint,
        progress=progress,
    )
    decoder.eval().requires_grad_(False)
    decoder.whiten(images)
    return decoder.cpu(), {"loss": curve}


def _loss(decoder: Decoder, images: np.ndarray, options: Mapping[str, Any], seed: int, step: int) -> Tensor:
    """The loss on one random batch, flipped left-right half of the time."""
    rng = torch.Generator().manual_seed(seed_of(seed, "decoder step", step))
    batch = random_batch(images, options["batch_size"], rng)
    noise = torch.randn((len(batch), decoder.size), generator=rng).to(decoder.mean)
    batch = batch.to(decoder.mean)
    with autocast(batch.device):
        mean, log_variance = decoder.latents(batch)
        reconstruction = decoder.up(mean + noise * (log_variance / 2).exp()).float()
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
    return F.mse_loss(reconstruction, batch) + options["divergence"] * divergence


def _block(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _finer(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (nn.Upsample(scale_factor=2), *_block(inputs, outputs))


class DecoderOptions(GeneratorOptions):
    """The decoder that is trained on the image pool; ``decoder`` says how."""

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> Decoder:
        """The decoder in the store ``decoder``."""
        decoder = store_of(stores, "decoder", "decoder")
        return decoder if isinstance(decoder, Decoder) else load_decoder(decoder, device)
