"""Training of one ensemble member on several sessions, which share one core or one core per core group."""

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
    """Train one ensemble member and return it with the weights of the epoch with the best validation correlation.

    Args:
        sessions: the training data of each session; every batch consists of images of one session.
        architecture: ``core`` and ``readout``, each with a ``name`` and its options; optionally ``size`` (pixels), if
            the network's images differ in size from those of the workflow, and ``core_groups``, which maps names to
            the sessions that share a core (sessions without a group form the group ``others``).
        options: ``size``, ``channels``, ``loss`` (mse or poisson), ``epochs``, ``batch_size``, ``learning_rate``,
            ``weight_decay``, ``shift`` (pixels), ``noise`` (sd of z-scored pixels), ``adversarial``
            (:func:`~v4egg.encoders.adversarial_training.changed_against`: L2 norm of a z-scored change; 0: none),
            ``ema_decay`` (decay per step of the averaged weights that are validated and returned; 0: no averaging),
            ``patience`` (epochs without improvement of the validation correlation until training stops; 0: never).
        seed: determines the initial weights, the order of batches and the augmentation.
        prior: store of the workflow's prior, for cores whose frozen network is the prior's.
        start: a trained encoder of this architecture and the units of ``sessions`` whose training is continued in a
            copy; by default weights are initialised at random.
        checkpoint: stores the state after each epoch; training resumes from an existing state with the same result.
        progress: wraps the loop over epochs, for example in a progress bar.
        device: the device of the training, such as ``cpu`` or ``cuda``.

    Returns:
        The encoder in evaluation mode on the CPU, and the curves ``loss`` and ``validation`` (mean correlation to
        average) with one value per epoch; with core groups, their mean weighted by the number of units.

    Raises:
        V4eggError: the loss is not finite (the message names session, epoch and step), or ``adversarial`` is set and
            sessions have stored features of a frozen network instead of images.
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
    """Train one encoder per core group; all have the same stimulus specification, which follows from all sessions."""
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
    """The sessions of each group that has at least one; sessions without a group form the group ``others``."""
    group_of = {session: name for name, members in groups.items() for session in members}
    grouped: dict[str, list[TrainingSession]] = {}
    for session in sessions:
        grouped.setdefault(group_of.get(session.session, "others"), []).append(session)
    return grouped


def _mean_curve(curves: Sequence[Mapping[str, list[float]]], name: str, counts: Sequence[int]) -> list[float]:
    """The weighted mean over groups; groups whose training stopped early are extended by their last value.

    Example:
        >>> _mean_curve([{"loss": [3.0, 1.0]}, {"loss": [5.0]}], "loss", [1, 1])
        [4.0, 3.0]
    """
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
    """Train an encoder without core groups; arguments and results as those of :func:`train_member`."""
    encoder = encoder.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
    steps = options["epochs"] * sum(count_batches(session, options["batch_size"]) for session in sessions)
    trainable = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=options["learning_rate"], weight_decay=options["weight_decay"])
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
        if _best_epoch(curves["validation"]) == epoch:
            best = _clone(parts["average"].module)
        if checkpoint:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save(states | {"curves": curves, "best": best})
    encoder.load_state_dict(best)
    return encoder.eval().cpu(), curves


def _stimulus_spec(sessions: Sequence[TrainingSession], options: Mapping[str, Any]) -> dict[str, Any]:
    """Size, channels, mean and standard deviation of the images synthesized for an encoder of these sessions."""
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
    """An untrained encoder: random weights, except for the pretrained weights of a frozen network."""
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
    """A copy of an encoder whose parameters are trainable, except those of a frozen network."""
    duplicate = copy.deepcopy(encoder).requires_grad_(True)
    if isinstance(duplicate.core, TaskDrivenCore):
        duplicate.core.backbone.requires_grad_(False)
    return duplicate


def _patience_is_over(validation: Sequence[float], patience: int) -> bool:
    """Whether the best validation correlation is ``patience`` or more epochs old; never with a patience of 0.

    Example:
        >>> _patience_is_over([0.1, 0.3, 0.2, 0.2], 2), _patience_is_over([0.1, 0.3, 0.2, 0.2], 3)
        (True, False)
    """
    return bool(patience) and len(validation) > patience and _best_epoch(validation) < len(validation) - patience


def _best_epoch(validation: Sequence[float]) -> int:
    """The last epoch with the highest correlation; one without a correlation (NaN) is as good as the worst.

    Example:
        >>> _best_epoch([0.1, 0.3, 0.3, 0.2]), _best_epoch([np.nan, np.nan])
        (2, 1)
    """
    correlations = np.nan_to_num(np.asarray(validation), nan=-np.inf)
    return int(np.flatnonzero(correlations == correlations.max())[-1])


def _epoch(
    parts: Mapping[str, Any],
    sessions: Sequence[TrainingSession],
    options: Mapping[str, Any],
    seed: int,
    epoch: int,
) -> float:
    """Train for one epoch in place and return the mean loss per image."""
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
    """The loss of an encoder's responses to images (B, c, y, x), as a function for adversarial changes."""
    return _loss(encoder.respond(encoder.features(images), units), target, trials, kind)


def _loss(prediction: Tensor, target: Tensor, trials: Tensor, kind: str) -> Tensor:
    """The mean loss over units and trials: a unit's response to an image is weighted by its number of trials.

    With these weights, both losses equal those of the single trials except for a constant. Responses that are missing
    (NaN) have no weight; without any response the loss is 0.

    Example:
        >>> prediction, target = torch.zeros(3, 1), torch.tensor([[1.0], [2.0], [torch.nan]])
        >>> _loss(prediction, target, torch.tensor([[3.0], [1.0], [0.0]]), "mse").item()
        1.75
    """
    missing = torch.isnan(target)
    weight, target = torch.where(missing, 0.0, trials), torch.where(missing, 0.0, target)
    if kind == "mse":
        errors = (prediction - target) ** 2
    else:
        errors = F.poisson_nll_loss(prediction, target, log_input=False, reduction="none")
    return (errors * (weight / weight.mean().clamp_min(torch.finfo(weight.dtype).tiny))).mean()


@torch.no_grad()
def validation_correlation(encoder: Encoder | GroupedEncoder, sessions: Sequence[TrainingSession]) -> float:
    """Mean over all units of the correlation to average on the validation images.

    Args:
        encoder: an encoder of the units of ``sessions``, which is set to evaluation mode.
        sessions: the training data, with validation images.

    Returns:
        The mean correlation; units without a defined correlation are left out, and without any the result is NaN.
    """
    encoder.eval()
    correlations = []
    for session in sessions:
        part = next(part for part in getattr(encoder, "parts", [encoder]) if session.units[0] in part.units)
        device = device_of(part)
        with autocast(device):
            features = feature_maps(part, session, session.validation)
            prediction = part.respond(features, part.index(session.units).to(device))
        correlations.append(metrics.correlation(prediction.float().cpu().numpy(), session.target[session.validation]))
    by_unit = np.concatenate(correlations)
    return float(np.mean(by_unit[np.isfinite(by_unit)])) if np.isfinite(by_unit).any() else float("nan")


def _clone(encoder: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict that further training does not change."""
    return {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}
