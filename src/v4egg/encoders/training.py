"""Train one ensemble member on several sessions that share its core, or on groups of them that share one each."""

import copy
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from v4egg.device import autocast, device_of
from v4egg.encoders.adversarial_training import changed_against
from v4egg.encoders.cores import TaskDrivenCore, completed_core, input_spec
from v4egg.encoders.encoder import Encoder, GroupedEncoder
from v4egg.encoders.training_data import TrainingSession, count_batches, feature_maps, shuffled_batches
from v4egg.errors import V4eggError
from v4egg.images.processing import channel_statistics, conform
from v4egg.io.checkpoints import Checkpoint
from v4egg.seeding import seed_of
from v4egg.stats import metrics


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
            network sees images at another size than the workflow's; ``core_groups``, by name the sessions that share
            a core of their own (those in none are the group ``others``), where one is not to serve all.
        options: ``size``, ``channels``, ``loss`` (mse or poisson), ``epochs``, ``batch_size``, ``learning_rate``,
            ``weight_decay``, ``shift`` (pixels), ``noise`` (sd of z-scored pixels), ``adversarial``
            (:func:`~v4egg.encoders.adversarial_training.changed_against`: L2 norm of a z-scored change; 0: none),
            ``ema_decay`` (decay per step of the averaged weights that are validated and kept; 0: no averaging),
            ``patience`` (epochs without a better validation after which training stops; 0: never).
        seed: everything random follows from it.
        prior: store of the workflow's prior, for cores that take their frozen network from it.
        start: an encoder of this architecture to train on, which stays as it is; its units are those of ``sessions``.
        checkpoint: where the state is kept after each epoch; an existing state is resumed to the same result.

    Returns:
        The encoder, and its curves ``loss`` and ``validation`` (mean correlation to average), one number an epoch;
        of groups the mean, each weighed by its units.

    Raises:
        V4eggError: the loss is not finite; names session, epoch and step. Or ``adversarial`` with stored features of a
            frozen network, which have no images to change.
    """
    if options["adversarial"] and any(session.features is not None for session in sessions):
        raise V4eggError("training: adversarial changes images, and these sessions have stored features; set it to 0")
    shared: dict[str, Any] = {"progress": progress, "device": device}
    if "core_groups" in architecture:
        return _train_groups(sessions, architecture, options, seed, prior, checkpoint, **shared)
    torch.manual_seed(seed_of(seed, "initialisation"))
    if start:
        encoder = _copied(start)
    else:
        encoder = _new_encoder(sessions, architecture, options, prior, _stimulus_spec(sessions, options))
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
    """One encoder per core group, each trained separately; all have the stimulus specification of all sessions."""
    encoders, curves, counts = {}, [], []
    stimulus_spec = _stimulus_spec(sessions, options)
    for name, group in _grouped(sessions, architecture["core_groups"]).items():
        group_seed = seed_of(seed, "group", name)
        torch.manual_seed(seed_of(group_seed, "initialisation"))
        encoder = _new_encoder(group, architecture, options, prior, stimulus_spec)
        state = checkpoint.part(name) if checkpoint else None
        encoders[name], curve = _trained(encoder, group, options, group_seed, state, **shared)
        curves.append(curve)
        counts.append(len(encoders[name].units))
    units = list(itertools.chain.from_iterable(session.units for session in sessions))
    return GroupedEncoder.of(units, encoders), {name: _mean_curve(curves, name, counts) for name in curves[0]}


def _grouped(
    sessions: Sequence[TrainingSession], groups: Mapping[str, Sequence[str]]
) -> dict[str, list[TrainingSession]]:
    """The sessions of each group that has any; ``others`` are those that no group names."""
    group_of = {session: name for name, members in groups.items() for session in members}
    grouped: dict[str, list[TrainingSession]] = {}
    for session in sessions:
        grouped.setdefault(group_of.get(session.session, "others"), []).append(session)
    return grouped


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
    encoder = encoder.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
    steps = options["epochs"] * sum(count_batches(session, options["batch_size"]) for session in sessions)
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options["learning_rate"], weight_decay=options["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options["learning_rate"], steps, pct_start=0.2)
    average = AveragedModel(encoder, multi_avg_fn=get_ema_multi_avg_fn(options["ema_decay"]), use_buffers=True)
    parts: dict[str, Any] = {"encoder": encoder, "average": average, "optimizer": optimizer, "schedule": schedule}
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
        curves["validation"].append(validation_correlation(parts["average"].module, sessions))
        if curves["validation"][-1] >= max(curves["validation"]):
            best = _clone(parts["average"].module)
        if checkpoint:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save(states | {"curves": curves, "best": best})
    encoder.load_state_dict(best)
    return encoder.eval().cpu(), curves


def _stimulus_spec(sessions: Sequence[TrainingSession], options: Mapping[str, Any]) -> dict[str, Any]:
    """Size, colour and scale of images that are synthesized for an encoder of these sessions."""
    images = [conform(session.images[session.train], options["size"], options["channels"]) for session in sessions]
    mean, std = channel_statistics(np.concatenate(images))
    return {"size": options["size"], "channels": options["channels"], "mean": mean, "std": std}


def _new_encoder(
    sessions: Sequence[TrainingSession],
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
    prior: str | Path | None,
    stimulus_spec: Mapping[str, Any],
) -> Encoder:
    """Before training: random weights, and those of a frozen network where the core has one."""
    core = completed_core(architecture["core"], prior)
    spec = {
        "core": core,
        "readout": architecture["readout"],
        **input_spec(core, architecture.get("size", options["size"]), stimulus_spec),
        "stimulus_spec": stimulus_spec,
        "output": "identity" if options["loss"] == "mse" else "elu+1",
    }
    encoder = Encoder(list(itertools.chain.from_iterable(session.units for session in sessions)), spec)
    if isinstance(encoder.core, TaskDrivenCore):
        encoder.core.load_pretrained(prior)
    return encoder


def _copied(encoder: Encoder) -> Encoder:
    """The same encoder for training: all of it learns but a frozen network."""
    copied = copy.deepcopy(encoder).requires_grad_(True)
    if isinstance(copied.core, TaskDrivenCore):
        copied.core.backbone.requires_grad_(False)
    return copied


def _patience_is_over(validation: Sequence[float], patience: int) -> bool:
    return bool(patience) and len(validation) > patience and int(np.argmax(validation)) < len(validation) - patience


def _epoch(
    parts: Mapping[str, Any],
    sessions: Sequence[TrainingSession],
    options: Mapping[str, Any],
    seed: int,
    epoch: int,
) -> float:
    encoder, optimizer = parts["encoder"].train(), parts["optimizer"]
    total, count = 0.0, 0
    device = device_of(encoder)
    for step, (session, batch) in enumerate(shuffled_batches(sessions, options["batch_size"], seed, epoch)):
        units = encoder.index(session.units).to(device)
        target = torch.from_numpy(session.target[batch]).to(device)
        weight = torch.from_numpy(session.trials[batch]).to(device)
        change = None
        if options["adversarial"]:
            error = functools.partial(_error, encoder, units, target, weight, options["loss"])
            change = functools.partial(changed_against, encoder, error=error, norm=options["adversarial"])
        with autocast(device):
            maps = feature_maps(encoder, session, batch, options, change)
            prediction = encoder.respond(maps, units)
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


def _error(encoder: Encoder, units: Tensor, target: Tensor, trials: Tensor, kind: str, images: Tensor) -> Tensor:
    """The loss of the responses to some images."""
    return _loss(encoder.respond(encoder.features(images), units), target, trials, kind)


def _loss(prediction: Tensor, target: Tensor, trials: Tensor, kind: str) -> Tensor:
    """Mean over units and trials: an image shown n times weighs n (both losses are then those of the single trials)."""
    if kind == "mse":
        errors = (prediction - target) ** 2
    else:
        errors = F.poisson_nll_loss(prediction, target, log_input=False, reduction="none")
    return (errors * (trials / trials.mean())[:, None]).mean()


@torch.no_grad()
def validation_correlation(encoder: Encoder | GroupedEncoder, sessions: Sequence[TrainingSession]) -> float:
    """Mean over all units of the correlation to average on the validation images."""
    encoder.eval()
    correlations = []
    for session in sessions:
        part = next(part for part in getattr(encoder, "parts", [encoder]) if session.units[0] in part.units)
        device = device_of(part)
        with autocast(device):
            features = feature_maps(part, session, session.validation)
            prediction = part.respond(features, part.index(session.units).to(device))
        correlations.append(metrics.correlation(prediction.float().cpu().numpy(), session.target[session.validation]))
    return float(np.nanmean(np.concatenate(correlations)))


def _clone(encoder: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}
