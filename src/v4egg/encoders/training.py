"""Train one ensemble member on several sessions that share its core, or on groups of them that share one each."""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from v4egg import metrics
from v4egg.checkpoints import Checkpoint
from v4egg.compute import autocast
from v4egg.encoders.cores import completed_core, seen_images
from v4egg.encoders.encoder import Encoder, GroupedEncoder
from v4egg.encoders.frozen_features import load_features
from v4egg.errors import V4eggError
from v4egg.recordings.recording import load_recording
from v4egg.responses import Responses, load_responses
from v4egg.seeding import seed_of
from v4egg.stimuli import channel_statistics, conform, to_float


@dataclass
class TrainingSession:
    """What training sees of one session: images uint8 (n, c, y, x), targets (n, U), trials an image (n,).

    ``features`` (n, view, channels, h, w) are what a frozen network gives for them; view 0 is the image as it is.
    """

    session: str
    units: list[str]
    images: np.ndarray
    target: np.ndarray
    trials: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    features: np.ndarray | None = None


def training_session(
    images: np.ndarray,
    responses: Responses,
    options: Mapping[str, Any],
    *,
    size: int | None = None,
    features: np.ndarray | None = None,
) -> TrainingSession:
    """The selected units of one session, with fit images only at ``size`` pixels (None: the workflow's own).

    Targets are repeat means: z-scored by the fit images for the loss ``mse``, counts for ``poisson``; ``options`` are
    those of :func:`train_member`; ``features`` (image, view, channel, y, x) are those of all the session's images.
    """
    fit = np.flatnonzero(np.isin(responses.split, ("train", "validation")))
    mean = responses.mean()[np.ix_(fit, responses.selected)]
    if options["loss"] == "mse":
        mean = (mean - responses.mean_count[responses.selected]) / responses.sd_count[responses.selected]
    return TrainingSession(
        session=responses.session,
        units=responses.selected_units,
        images=conform(images[fit], size or options["size"], options["channels"]),
        target=mean.astype(np.float32),
        trials=np.isfinite(responses.counts[fit]).any(2).sum(1).astype(np.float32),
        train=np.flatnonzero(responses.split[fit] == "train"),
        validation=np.flatnonzero(responses.split[fit] == "validation"),
        features=None if features is None else features[fit],
    )


def training_sessions(
    recordings: Sequence[str | Path],
    responses: Sequence[str | Path],
    features: Sequence[str | Path],
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[TrainingSession]:
    """The sessions in these stores as an architecture sees them; no features where it has no frozen network."""
    size = None if features else architecture.get("size")
    return [
        training_session(
            load_recording(recording).images,
            load_responses(response),
            options,
            size=size,
            features=f and load_features(f),
        )
        for recording, response, f in itertools.zip_longest(recordings, responses, features)
    ]


def train_member(
    sessions: Sequence[TrainingSession],
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
    seed: int,
    *,
    prior: str | Path | None = None,
    start: Encoder | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
    device: str = "cpu",
) -> tuple[Encoder | GroupedEncoder, dict[str, list[float]]]:
    """Train one member; the epoch with the best validation correlation is kept.

    Args:
        sessions: the sessions that share the core; every batch comes from one of them.
        architecture: ``core`` and ``readout``, each with a ``name`` and its options; ``size`` (pixels) where the
            network sees images at another size than the workflow's; ``groups``, by name the sessions that share a core
            of their own (those in none are the group ``others``), where one is not to serve all.
        options: ``size``, ``channels``, ``loss`` (mse or poisson), ``epochs``, ``batch_size``, ``learning_rate``,
            ``weight_decay``, ``shift`` (pixels), ``noise`` (sd of z-scored pixels), ``average`` (decay a step of the
            averaged weights that are validated and kept; 0: the weights themselves), ``patience`` (epochs without a
            better validation after which training stops; 0: never).
        seed: everything random follows from it.
        prior: store of the workflow's prior, for cores that take their frozen network from it.
        start: an encoder of this architecture to train on, which stays as it is; its units are those of ``sessions``.
        checkpoint: where the state is kept after each epoch; an existing state is resumed to the same result.

    Returns:
        The encoder, and its curves ``loss`` and ``validation`` (mean correlation to average), one number an epoch;
        of groups the mean, each weighed by its units.

    Raises:
        V4eggError: the loss is not finite; names session, epoch and step.
    """
    shared = {"progress": progress, "device": device}
    if "groups" in architecture:
        return _train_groups(sessions, architecture, options, seed, prior, checkpoint, **shared)
    torch.manual_seed(seed_of(seed, "initialisation"))
    if start:
        encoder = _copied(start)
    else:
        encoder = _new_encoder(sessions, architecture, options, prior, _canvas(sessions, options))
    return _trained(encoder, sessions, options, seed, checkpoint, **shared)


def _train_groups(
    sessions: Sequence[TrainingSession],
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
    seed: int,
    prior: str | Path | None,
    checkpoint: Checkpoint | None,
    **shared: Any,
) -> tuple[GroupedEncoder, dict[str, list[float]]]:
    """An encoder for each group, trained by itself; all make images for the canvas of all sessions."""
    encoders, curves, counts = {}, [], []
    canvas = _canvas(sessions, options)
    for name, group in _grouped(sessions, architecture["groups"]).items():
        own = seed_of(seed, "group", name)
        torch.manual_seed(seed_of(own, "initialisation"))
        encoder = _new_encoder(group, architecture, options, prior, canvas)
        state = checkpoint.part(name) if checkpoint else None
        encoders[name], found = _trained(encoder, group, options, own, state, **shared)
        curves.append(found)
        counts.append(len(encoders[name].units))
    units = list(itertools.chain.from_iterable(session.units for session in sessions))
    return GroupedEncoder.of(units, encoders), {name: _mean_curve(curves, name, counts) for name in curves[0]}


def _grouped(sessions: Sequence[TrainingSession], groups: Mapping[str, Sequence[str]]) -> dict[str, list]:
    """The sessions of each group that has any; ``others`` are those that no group names."""
    group_of = {session: name for name, members in groups.items() for session in members}
    found: dict[str, list[TrainingSession]] = {}
    for session in sessions:
        found.setdefault(group_of.get(session.session, "others"), []).append(session)
    return found


def _mean_curve(curves: Sequence[Mapping[str, list[float]]], name: str, counts: Sequence[int]) -> list[float]:
    """The mean over groups; a group whose training ended early stays at its last value."""
    length = max(len(curve[name]) for curve in curves)
    padded = [curve[name] + curve[name][-1:] * (length - len(curve[name])) for curve in curves]
    return np.average(padded, axis=0, weights=counts).tolist()


def _trained(
    encoder: Encoder,
    sessions: Sequence[TrainingSession],
    options: Mapping[str, Any],
    seed: int,
    checkpoint: Checkpoint | None,
    progress: Callable[[range], Any],
    device: str,
) -> tuple[Encoder, dict[str, list[float]]]:
    encoder = encoder.to(device, memory_format=torch.channels_last)
    steps = options["epochs"] * sum(_batches_of(session, options) for session in sessions)
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options["learning_rate"], weight_decay=options["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options["learning_rate"], steps, pct_start=0.2)
    average = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(options["average"]), use_buffers=True)
    parts = {"encoder": encoder, "average": average, "optimizer": optimizer, "schedule": schedule}
    curves: dict[str, list[float]] = {"loss": [], "validation": []}
    best = _clone(encoder)
    state = checkpoint.resume(parts) if checkpoint else None
    if state is not None:
        curves, best = state["curves"], state["best"]
    for epoch in progress(range(len(curves["loss"]), options["epochs"])):
        if _patience_is_over(curves["validation"], options["patience"]):
            break
        torch.manual_seed(seed_of(seed, "epoch", epoch))
        curves["loss"].append(_epoch(parts, sessions, options, seed, epoch))
        curves["validation"].append(validation_correlation(average.module, sessions))
        if curves["validation"][-1] >= max(curves["validation"]):
            best = _clone(average.module)
        if checkpoint:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save(states | {"curves": curves, "best": best})
    encoder.load_state_dict(best)
    return encoder.eval().cpu(), curves


def _canvas(sessions: Sequence[TrainingSession], options: Mapping[str, Any]) -> dict[str, Any]:
    """Size, colour and scale of images that are made for an encoder of these sessions."""
    shown = [conform(session.images[session.train], options["size"], options["channels"]) for session in sessions]
    mean, std = channel_statistics(np.concatenate(shown))
    return {"size": options["size"], "channels": options["channels"], "mean": mean, "std": std}


def _new_encoder(
    sessions: Sequence[TrainingSession], architecture: Mapping, options: Mapping, prior, canvas: Mapping[str, Any]
) -> Encoder:
    """Before training: random weights, and those of a frozen network where the core has one."""
    core = completed_core(architecture["core"], prior)
    spec = {
        "core": core,
        "readout": architecture["readout"],
        **seen_images(core, architecture.get("size", options["size"]), canvas),
        "canvas": canvas,
        "output": "identity" if options["loss"] == "mse" else "elu+1",
    }
    encoder = Encoder(list(itertools.chain.from_iterable(session.units for session in sessions)), spec)
    if hasattr(encoder.core, "load_pretrained"):
        encoder.core.load_pretrained(prior)
    return encoder


def _copied(encoder: Encoder) -> Encoder:
    """The same encoder for training: all of it learns but a frozen network."""
    copied = copy.deepcopy(encoder).requires_grad_(True)
    if hasattr(copied.core, "backbone"):
        copied.core.backbone.requires_grad_(False)
    return copied


def _patience_is_over(validation: Sequence[float], patience: int) -> bool:
    return bool(patience) and len(validation) > patience and int(np.argmax(validation)) < len(validation) - patience


def _epoch(parts: Mapping[str, Any], sessions, options, seed: int, epoch: int) -> float:
    encoder, optimizer = parts["encoder"].train(), parts["optimizer"]
    total = count = 0
    device = encoder.preprocess.mean.device
    for step, (session, batch) in enumerate(_batches(sessions, options["batch_size"], seed, epoch)):
        units = encoder.index(session.units).to(device)
        target = torch.from_numpy(session.target[batch]).to(device)
        weight = torch.from_numpy(session.trials[batch]).to(device)
        with autocast(device):
            prediction = encoder.respond(feature_maps(encoder, session, batch, options), units)
        penalty = encoder.core.penalty() + encoder.readout.penalty(units)
        loss = _loss(prediction, target, weight, options["loss"]) + penalty
        if not torch.isfinite(loss):
            raise V4eggError(
                f"training on session {session.session}: the loss is {loss.item()} at step {step} of epoch {epoch}; "
                "lower encoders.training.learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        parts["schedule"].step()
        parts["average"].update_parameters(encoder)
        total, count = total + loss.item() * len(batch), count + len(batch)
    return total / count


def feature_maps(
    encoder: Encoder, session: TrainingSession, rows: np.ndarray, options: Mapping | None = None
) -> Tensor:
    """The core's feature map for some images, which are augmented where training ``options`` are given."""
    device = encoder.preprocess.mean.device
    if session.features is None:
        images = to_float(session.images[rows]).to(device)
        return encoder.features(_augmented(images, encoder, options) if options else images)
    views = torch.randint(session.features.shape[1], (len(rows),)).numpy() if options else 0
    frozen = torch.from_numpy(session.features[rows, views]).to(device, torch.float32)
    return encoder.maps(frozen.contiguous(memory_format=torch.channels_last))


def _loss(prediction: Tensor, target: Tensor, trials: Tensor, kind: str) -> Tensor:
    """Mean over units and trials: an image shown n times weighs n (both losses are then those of the single trials)."""
    if kind == "mse":
        errors = (prediction - target) ** 2
    else:
        errors = F.poisson_nll_loss(prediction, target, log_input=False, reduction="none")
    return (errors * (trials / trials.mean())[:, None]).mean()


def _augmented(images: Tensor, encoder: Encoder, options: Mapping) -> Tensor:
    """A random shift of each image by up to ``shift`` canvas pixels (edges repeat) and Gaussian pixel noise."""
    size = images.shape[-1]
    shift = round(options["shift"] * size / options["size"])
    if shift:
        padded = F.pad(images, (shift,) * 4, mode="replicate")
        rows, columns = torch.randint(0, 2 * shift + 1, (2, len(images)))
        images = torch.stack(
            [image[:, r : r + size, c : c + size] for image, r, c in zip(padded, rows, columns, strict=True)]
        )
    if options["noise"]:
        images = images + options["noise"] * encoder.canvas.std * torch.randn(images.shape).to(images)
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
def validation_correlation(encoder: Encoder | GroupedEncoder, sessions: Sequence[TrainingSession]) -> float:
    """Mean over all units of the correlation to average on the validation images."""
    encoder.eval()
    correlations = []
    for session in sessions:
        own = next(part for part in getattr(encoder, "parts", [encoder]) if session.units[0] in part.units)
        device = own.preprocess.mean.device
        with autocast(device):
            features = feature_maps(own, session, session.validation)
            prediction = own.respond(features, own.index(session.units).to(device))
        correlations.append(metrics.correlation(prediction.float().cpu().numpy(), session.target[session.validation]))
    return float(np.nanmean(np.concatenate(correlations)))


def _clone(encoder: Encoder) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}
