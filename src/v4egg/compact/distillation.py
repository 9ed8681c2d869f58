"""Distillation: students are fitted to a teacher's responses, pruned and fitted again, many units at once."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from v4egg.compact.model import STAGES
from v4egg.compact.network import STRIDES, CompactModels, CompactNetwork
from v4egg.compact.pruning import pruned, r2
from v4egg.compact.students import Students, new_network
from v4egg.compact.teacher import DistillationDataset
from v4egg.errors import V4eggError
from v4egg.images.processing import blur, to_float
from v4egg.io.checkpoints import Checkpoint
from v4egg.seeding import numpy_generator

CALIBRATION = 64  # images that set the scale of untrained filters
SIGMA = 0.5  # px, of the Gaussian that smooths kernels and readouts (Cowley et al., Nature 2026)
WARM_UP = 0.05  # fraction of the steps over which the learning rate rises; then it falls as a cosine

Checkpoints = Callable[[str, Sequence[str]], Checkpoint]  # stage and unit ids -> where that training's state is saved
Progress = Callable[[range], Any]  # wraps a loop over steps, such as a progress bar


def compact_networks(
    dataset: DistillationDataset,
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoints: Checkpoints | None = None,
    progress: Progress = iter,
    device: str = "cpu",
) -> tuple[dict[str, list[CompactNetwork]], dict[str, list[float]]]:
    """Fit a compact network to each unit of a dataset: distillation, pruning, retraining.

    Args:
        dataset: the teacher's responses.
        options: ``widths`` (filters of the five layers); ``batch_size``, ``smoothing`` (steps between two smoothings,
            0: never) and ``sample`` (see :class:`~v4egg.compact.students.Students`) of training; ``epochs`` and
            ``learning_rate`` for each of ``distillation`` and ``retraining``; ``keep_r2`` and ``keep_output`` of
            pruning; ``units_at_once``.
        seed: of all random draws, together with a unit's id: a unit does not depend on the others.
        checkpoints: where states are saved, for each group of units that are trained at once; an existing state is
            resumed.
        progress: wraps the loop over the steps of an epoch.
        device: where to train.

    Returns:
        Networks by stage of :data:`~v4egg.compact.model.STAGES`, one per unit; and the seconds per unit of each stage.

    Raises:
        V4eggError: there is no unit, or a loss is not finite.
    """
    if not dataset.units:
        raise V4eggError("compact.jobs: there are more jobs than units of a session; lower it")
    units, start = dataset.units, time.monotonic()
    size = dataset.images.shape[-1]

    def trained(stage: str, networks: Sequence[CompactNetwork]) -> list[CompactNetwork]:
        return _trained(stage, networks, dataset, options, seed, checkpoints, progress, device)

    networks, seconds = {}, []
    untrained = [new_network(options["widths"], size, STRIDES, seed, unit) for unit in units]
    networks["distilled"] = trained("distillation", untrained)
    seconds.append(time.monotonic() - start)
    networks["pruned"] = _pruned(networks["distilled"], dataset, options)
    seconds.append(time.monotonic() - start)
    networks["retrained"] = trained("retraining", networks["pruned"])
    seconds.append(time.monotonic() - start)
    per_unit = np.diff(seconds, prepend=0) / len(units)
    return networks, {stage: [float(value)] * len(units) for stage, value in zip(STAGES, per_unit, strict=True)}


def r2_to_teacher(networks: Sequence[CompactNetwork], dataset: DistillationDataset, split: str = "test") -> np.ndarray:
    """Squared correlation (U,) of each unit's network with the teacher on the images of a split."""
    images, responses = dataset.part(split)
    return r2(responses_of(networks, images), responses)


@torch.no_grad()
def responses_of(networks: Sequence[CompactNetwork], images: np.ndarray) -> np.ndarray:
    """Responses (n, U) of networks to images uint8 (n, c, y, x) of any size."""
    size = networks[0].readout_map.shape[-1] * math.prod(networks[0].strides)
    models = CompactModels(networks, [str(i) for i in range(len(networks))], size)
    return torch.cat([models(to_float(images[i : i + 64])) for i in range(0, len(images), 64)]).numpy()


def _pruned(
    networks: Sequence[CompactNetwork], dataset: DistillationDataset, options: Mapping[str, Any]
) -> list[CompactNetwork]:
    images, responses = dataset.part("pruning")
    centred = centred_pixels(images)
    criteria = {name: options[name] for name in ("keep_r2", "keep_output")}
    return [pruned(network, centred, responses[:, unit], **criteria) for unit, network in enumerate(networks)]


def _trained(
    stage: str,
    networks: Sequence[CompactNetwork],
    dataset: DistillationDataset,
    options: Mapping[str, Any],
    seed: int,
    checkpoints: Checkpoints | None,
    progress: Progress,
    device: str,
) -> list[CompactNetwork]:
    """Train each network on the fit images, in groups of units with about equally many parameters."""
    order = sorted(range(len(networks)), key=lambda unit: networks[unit].parameters_count)
    result: dict[int, CompactNetwork] = {}
    images, responses = dataset.part("fit")
    for first in range(0, len(order), options["units_at_once"]):
        members = order[first : first + options["units_at_once"]]
        units = [dataset.units[unit] for unit in members]
        targets = responses[:, members]
        mean, deviation = targets.mean(0), targets.std(0).clip(1e-6)
        zscored = [scaled(networks[i], 1 / d, -m / d) for i, m, d in zip(members, mean, deviation, strict=True)]
        students = Students(zscored, options["sample"]).to(device)
        if stage == "distillation":
            students.calibrate(centred_pixels(images[:CALIBRATION]).to(device))
        checkpoint = checkpoints(stage, units) if checkpoints else None
        train(students, images, (targets - mean) / deviation, stage, options, seed, checkpoint, progress)
        for unit, network, m, d in zip(members, students.cpu().networks(), mean, deviation, strict=True):
            result[unit] = scaled(network, d, m)
    return [result[unit] for unit in range(len(networks))]


def train(
    students: Students,
    images: np.ndarray,
    targets: np.ndarray,
    stage: str,
    options: Mapping[str, Any],
    seed: int,
    checkpoint: Checkpoint | None = None,
    progress: Progress = iter,
) -> list[float]:
    """Train students in place.

    The squared errors of the units are added, so that Adam updates each unit as if it were trained alone. The order of
    images is keyed by seed, stage and epoch.

    Args:
        students: the networks of U units.
        images: uint8 (n, 3, y, x).
        targets: z-scored responses (n, U).
        stage: ``distillation`` or ``retraining``.
        options: those of :func:`compact_networks`.
        seed: of the order of images.
        checkpoint: where the state is saved after each epoch; an existing state is resumed.
        progress: wraps the loop over the steps of an epoch.

    Returns:
        The mean loss of each epoch.

    Raises:
        V4eggError: the loss is not finite; names the epoch.
    """
    training, batch = options[stage], min(options["batch_size"], len(images))
    optimizer = torch.optim.Adam(students.parameter_groups(training["learning_rate"]))
    peaks = [group["lr"] for group in optimizer.param_groups]
    n_steps = len(images) // batch
    parts: dict[str, Any] = {"students": students, "optimizer": optimizer}
    state = checkpoint.resume(parts) if checkpoint else None
    losses = list(state["losses"]) if state else []
    for epoch in range(len(losses), training["epochs"]):
        order = numpy_generator(seed, "lessons", stage, epoch).permutation(len(images))
        total = torch.zeros(())
        for step in progress(range(n_steps)):
            rows = order[step * batch : (step + 1) * batch]
            n_done = epoch * n_steps + step
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * _schedule(n_done, training["epochs"] * n_steps)
            total += _step(students, optimizer, images[rows], targets[rows])
            if options["smoothing"] and (n_done + 1) % options["smoothing"] == 0:
                smooth(students)
        losses.append(float(total) / n_steps / targets.shape[1])
        if not math.isfinite(losses[-1]):
            raise V4eggError(f"{stage}: the loss is {losses[-1]} in epoch {epoch}; lower compact.{stage}.learning_rate")
        if checkpoint:
            checkpoint.save({name: part.state_dict() for name, part in parts.items()} | {"losses": losses})
    return losses


def _step(students: Students, optimizer: torch.optim.Optimizer, images: np.ndarray, targets: np.ndarray) -> Tensor:
    device = students.readout_bias.device
    errors = students(centred_pixels(images).to(device)) - torch.from_numpy(targets).to(device)
    loss = errors.square().mean(0).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach().cpu()


def _schedule(step: int, steps: int) -> float:
    """The learning rate at a step, as a fraction of its peak."""
    rising = (step + 1) / max(1.0, WARM_UP * steps)
    return min(1.0, rising) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def smooth(students: Students) -> None:
    """Smooth kernels and readouts in place with a Gaussian of :data:`SIGMA` pixels."""
    for name, parameter in students.named_parameters():
        if name.startswith(("conv0_weight", "depthwise", "readout_weight")):
            maps = parameter if parameter.ndim == 4 else parameter[None]
            parameter.copy_(blur(maps, SIGMA).reshape(parameter.shape))


def scaled(network: CompactNetwork, gain: float, offset: float) -> CompactNetwork:
    """The network whose response is ``gain`` times the given network's, plus ``offset``."""
    tensors = dict(network.named_buffers())
    tensors["readout_weight"] = tensors["readout_weight"] * float(gain)
    tensors["readout_bias"] = tensors["readout_bias"] * float(gain) + float(offset)
    return CompactNetwork(tensors, network.strides)


def centred_pixels(images: np.ndarray) -> Tensor:
    """The students' input for images uint8 (n, 3, y, x) of their size.

    >>> centred_pixels(np.zeros((1, 3, 4, 4), np.uint8))[0, :, 0, 0]
    tensor([-116.2220, -109.2700, -100.3810])
    """
    blank = CompactModels([], [], images.shape[-1])
    return blank.centred(to_float(images))
