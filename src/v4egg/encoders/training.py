"""Train one ensemble member on several sessions that share its core."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from v4egg import metrics
from v4egg.checkpoints import Checkpoint
from v4egg.compute import autocast
from v4egg.encoders.encoder import Encoder
from v4egg.errors import V4eggError
from v4egg.responses import Responses
from v4egg.seeding import seed_of
from v4egg.stimuli import channel_statistics, conform, to_float


@dataclass
class TrainingSession:
    """What training sees of one session: images uint8 (n, c, y, x), targets (n, U), trials an image (n,)."""

    session: str
    units: list[str]
    images: np.ndarray
    target: np.ndarray
    trials: np.ndarray
    train: np.ndarray
    validation: np.ndarray


def training_session(images: np.ndarray, responses: Responses, options: Mapping[str, Any]) -> TrainingSession:
    """The selected units of one session, with fit images only at the encoder's size.

    Targets are repeat means: z-scored by the fit images for the loss ``mse``, counts for ``poisson``; ``options`` are
    those of :func:`train_member`.
    """
    fit = np.flatnonzero(np.isin(responses.split, ("train", "validation")))
    mean = responses.mean()[np.ix_(fit, responses.selected)]
    if options["loss"] == "mse":
        mean = (mean - responses.mean_count[responses.selected]) / responses.sd_count[responses.selected]
    return TrainingSession(
        session=responses.session,
        units=[unit for unit, chosen in zip(responses.units, responses.selected, strict=True) if chosen],
        images=conform(images[fit], options["size"], options["channels"]),
        target=mean.astype(np.float32),
        trials=np.isfinite(responses.counts[fit]).any(2).sum(1).astype(np.float32),
        train=np.flatnonzero(responses.split[fit] == "train"),
        validation=np.flatnonzero(responses.split[fit] == "validation"),
    )


def train_member(
    sessions: Sequence[TrainingSession],
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
    device: str = "cpu",
) -> tuple[Encoder, dict[str, list[float]]]:
    """Train one member; the epoch with the best validation correlation is kept.

    Args:
        sessions: the sessions that share the core; every batch comes from one of them.
        architecture: ``core`` and ``readout``, each with a ``name`` and its options.
        options: ``size``, ``channels``, ``loss`` (mse or poisson), ``epochs``, ``batch_size``, ``learning_rate``,
            ``weight_decay``, ``shift`` (pixels), ``noise`` (sd of z-scored pixels).
        seed: everything random follows from it.
        checkpoint: where the state is kept after each epoch; an existing state is resumed to the same result.

    Returns:
        The encoder, and its curves ``loss`` and ``validation`` (mean correlation to average), one number an epoch.

    Raises:
        V4eggError: the loss is not finite; names session and epoch.
    """
    torch.manual_seed(seed_of(seed, "initialisation"))
    encoder = _new_encoder(sessions, architecture, options).to(device, memory_format=torch.channels_last)
    steps = sum(_batches_of(session, options) for session in sessions)
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options["learning_rate"], total_steps=options["epochs"] * steps, pct_start=0.2
    )
    curves: dict[str, list[float]] = {"loss": [], "validation": []}
    best = _clone(encoder)
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        encoder.load_state_dict(state["encoder"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        curves, best = state["curves"], state["best"]
    for epoch in progress(range(len(curves["loss"]), options["epochs"])):
        torch.manual_seed(seed_of(seed, "epoch", epoch))
        curves["loss"].append(_epoch(encoder, sessions, options, optimizer, schedule, seed, epoch))
        curves["validation"].append(_validate(encoder, sessions))
        if curves["validation"][-1] >= max(curves["validation"]):
            best = _clone(encoder)
        if checkpoint:
            parts = {"encoder": encoder, "optimizer": optimizer, "schedule": schedule}
            checkpoint.save(
                {name: part.state_dict() for name, part in parts.items()} | {"curves": curves, "best": best}
            )
    encoder.load_state_dict(best)
    return encoder.eval().cpu(), curves


def _new_encoder(sessions: Sequence[TrainingSession], architecture: Mapping, options: Mapping) -> Encoder:
    mean, std = channel_statistics(np.concatenate([session.images[session.train] for session in sessions]))
    spec = {
        "core": architecture["core"],
        "readout": architecture["readout"],
        "size": options["size"],
        "channels": options["channels"],
        "mean": mean,
        "std": std,
        "output": "identity" if options["loss"] == "mse" else "elu+1",
    }
    return Encoder(list(itertools.chain.from_iterable(session.units for session in sessions)), spec)


def _epoch(encoder, sessions, options, optimizer, schedule, seed: int, epoch: int) -> float:
    encoder.train()
    total = count = 0
    device = encoder.preprocess.mean.device
    for session, batch in _batches(sessions, options["batch_size"], seed, epoch):
        images = _augmented(to_float(session.images[batch]).to(device), encoder, options)
        units = encoder.index(session.units).to(device)
        target = torch.from_numpy(session.target[batch]).to(device)
        weight = torch.from_numpy(session.trials[batch]).to(device)
        with autocast(device):
            prediction = encoder(images, units)
        loss = _loss(prediction, target, weight, options["loss"]) + encoder.readout.penalty(units)
        if not torch.isfinite(loss):
            raise V4eggError(
                f"training on session {session.session}: the loss is {loss.item()} in epoch {epoch}; "
                "lower encoders.training.learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total, count = total + loss.item() * len(batch), count + len(batch)
    return total / count


def _loss(prediction: Tensor, target: Tensor, trials: Tensor, kind: str) -> Tensor:
    """Mean over units and trials: an image shown n times weighs n (both losses are then those of the single trials)."""
    if kind == "mse":
        errors = (prediction - target) ** 2
    else:
        errors = F.poisson_nll_loss(prediction, target, log_input=False, reduction="none")
    return (errors * (trials / trials.mean())[:, None]).mean()


def _augmented(images: Tensor, encoder: Encoder, options: Mapping) -> Tensor:
    """A random shift of each image by up to ``shift`` pixels (edges repeat) and Gaussian pixel noise."""
    shift = options["shift"]
    if shift:
        size = images.shape[-1]
        padded = F.pad(images, (shift,) * 4, mode="replicate")
        rows, columns = torch.randint(0, 2 * shift + 1, (2, len(images)))
        images = torch.stack(
            [image[:, r : r + size, c : c + size] for image, r, c in zip(padded, rows, columns, strict=True)]
        )
    if options["noise"]:
        images = images + options["noise"] * encoder.preprocess.std * torch.randn(images.shape).to(images)
    return images


def _batches_of(session: TrainingSession, options: Mapping) -> int:
    return max(1, len(session.train) // options["batch_size"])


def _batches(sessions, batch_size: int, seed: int, epoch: int):
    """Shuffled batches, each from one session; the order depends on seed and epoch alone."""
    generator = np.random.default_rng(seed_of(seed, "order", epoch))
    batches = []
    for session in sessions:
        order = generator.permutation(session.train)
        parts = np.array_split(order, max(1, len(order) // batch_size))
        batches += [(session, part) for part in parts]
    return [batches[i] for i in generator.permutation(len(batches))]


@torch.no_grad()
def _validate(encoder: Encoder, sessions: Sequence[TrainingSession]) -> float:
    """Mean over all units of the correlation to average on the validation images."""
    encoder.eval()
    device = encoder.preprocess.mean.device
    correlations = []
    for session in sessions:
        images = to_float(session.images[session.validation]).to(device)
        with autocast(device):
            prediction = encoder(images, encoder.index(session.units).to(device))
        correlations.append(metrics.correlation(prediction.float().cpu().numpy(), session.target[session.validation]))
    return float(np.nanmean(np.concatenate(correlations)))


def _clone(encoder: Encoder) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}
