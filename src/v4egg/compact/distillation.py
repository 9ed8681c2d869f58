"""Distillation: students learn what a teacher says of images, are pruned, and learn again, many units side by side."""

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

CALIBRATION = 64  # images that give untrained filters their scale
SIGMA = 0.5  # px, of the Gaussian that smooths kernels and readouts (Cowley et al. 2026)
WARM_UP = 0.05  # of the steps, over which the learning rate rises; then it falls as a cosine

Checkpoints = Callable[[str, Sequence[str]], Checkpoint]  # stage and units -> where their training's state is kept


def compact_networks(
    lessons: DistillationDataset,
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoints: Checkpoints | None = None,
    progress: Callable = iter,
    device: str = "cpu",
) -> tuple[dict[str, list[CompactNetwork]], dict[str, list[float]]]:
    """Networks of all units of the lessons at each of :data:`STAGES`, and the seconds that each took.

    Args:
        options: ``widths``; of the training ``batch_size``, ``smoothing`` (steps between two, 0: never)
            and ``sample`` (see :class:`Students`), and for each of ``distillation`` and ``retraining`` its ``epochs``
            and ``learning_rate``; ``keep_r2`` and ``keep_output`` of pruning; ``units_at_once``.
        seed: everything random follows from it and from a unit's id: the units' company changes nothing.
        checkpoints: where states are kept, for each group of units that are trained at once.

    Raises:
        V4eggError: there is no unit, or a loss is not finite.
    """
    if not lessons.units:
        raise V4eggError("compact.jobs: there are more jobs than units of a session; lower it")
    units, start = lessons.units, time.monotonic()
    size = lessons.images.shape[-1]
    found = {"distilled": [new_network(options["widths"], size, STRIDES, seed, unit) for unit in units]}
    shared = {"checkpoints": checkpoints, "progress": progress, "device": device}
    found["distilled"] = _trained("distillation", found["distilled"], lessons, options, seed, **shared)
    seconds = [time.monotonic() - start]
    found["pruned"] = _pruned(found["distilled"], lessons, options)
    seconds.append(time.monotonic() - start)
    found["retrained"] = _trained("retraining", found["pruned"], lessons, options, seed, **shared)
    seconds.append(time.monotonic() - start)
    each = np.diff(seconds, prepend=0) / len(units)
    return found, {stage: [float(value)] * len(units) for stage, value in zip(STAGES, each, strict=True)}


def r2_to_teacher(networks: Sequence[CompactNetwork], lessons: DistillationDataset, split: str = "test") -> np.ndarray:
    """Squared correlation (U,) of each network with the teacher on images of a split."""
    images, responses = lessons.part(split)
    return r2(responses_of(networks, images), responses)


@torch.no_grad()
def responses_of(networks: Sequence[CompactNetwork], images: np.ndarray) -> np.ndarray:
    """Responses (n, U) of networks to images uint8 (n, c, y, x) of any size."""
    size = networks[0].readout_map.shape[-1] * math.prod(networks[0].strides)
    models = CompactModels(networks, [str(i) for i in range(len(networks))], size)
    return torch.cat([models(to_float(images[i : i + 64])) for i in range(0, len(images), 64)]).numpy()


def _pruned(
    networks: Sequence[CompactNetwork], lessons: DistillationDataset, options: Mapping[str, Any]
) -> list[CompactNetwork]:
    images, responses = lessons.part("pruning")
    seen = centred_pixels(images)
    keep = {name: options[name] for name in ("keep_r2", "keep_output")}
    return [pruned(network, seen, responses[:, unit], **keep) for unit, network in enumerate(networks)]


def _trained(
    stage: str,
    networks: Sequence[CompactNetwork],
    lessons: DistillationDataset,
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoints: Checkpoints | None,
    progress: Callable,
    device: str,
) -> list[CompactNetwork]:
    """Each network trained on the fit images, in groups of units that are about as wide as one another."""
    order = sorted(range(len(networks)), key=lambda unit: networks[unit].parameters_count)
    found: list[CompactNetwork | None] = [None] * len(networks)
    images, responses = lessons.part("fit")
    for first in range(0, len(order), options["units_at_once"]):
        together = order[first : first + options["units_at_once"]]
        units = [lessons.units[unit] for unit in together]
        targets = responses[:, together]
        mean, deviation = targets.mean(0), targets.std(0).clip(1e-6)
        inverse = [scaled(networks[i], 1 / d, -m / d) for i, m, d in zip(together, mean, deviation, strict=True)]
        students = Students(inverse, options["sample"]).to(device)
        if stage == "distillation":
            students.calibrate(centred_pixels(images[:CALIBRATION]).to(device))
        checkpoint = checkpoints(stage, units) if checkpoints else None
        train(students, images, (targets - mean) / deviation, stage, options, seed, checkpoint, progress)
        for unit, network, m, d in zip(together, students.cpu().networks(), mean, deviation, strict=True):
            found[unit] = scaled(network, d, m)
    return found


def train(
    students: Students,
    images: np.ndarray,
    targets: np.ndarray,
    stage: str,
    options: Mapping[str, Any],
    seed: int,
    checkpoint: Checkpoint | None = None,
    progress: Callable = iter,
) -> list[float]:
    """Train students on images uint8 (n, 3, y, x) and targets (n, U); the mean loss of each epoch.

    The squared errors of the units are added, so that Adam does for each what it would do for it alone. The order of
    images depends on the seed, the stage and the epoch.

    Raises:
        V4eggError: the loss is not finite; names the epoch.
    """
    training, batch = options[stage], min(options["batch_size"], len(images))
    optimizer = torch.optim.Adam(students.groups(training["learning_rate"]))
    peaks = [group["lr"] for group in optimizer.param_groups]
    steps, parts = len(images) // batch, {"students": students, "optimizer": optimizer}
    state = checkpoint.resume(parts) if checkpoint else None
    losses = list(state["losses"]) if state else []
    for epoch in range(len(losses), training["epochs"]):
        order = numpy_generator(seed, "lessons", stage, epoch).permutation(len(images))
        total = torch.zeros(())
        for step in progress(range(steps)):
            rows = order[step * batch : (step + 1) * batch]
            done = epoch * steps + step
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * _schedule(done, training["epochs"] * steps)
            total += _step(students, optimizer, images[rows], targets[rows])
            if options["smoothing"] and (done + 1) % options["smoothing"] == 0:
                smooth(students)
        losses.append(float(total) / steps / targets.shape[1])
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
    """Share of the peak learning rate."""
    rising = (step + 1) / max(1.0, WARM_UP * steps)
    return min(1.0, rising) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def smooth(students: Students) -> None:
    """Smooth kernels and readouts by a narrow Gaussian."""
    for name, parameter in students.named_parameters():
        if name.startswith(("conv0_weight", "depthwise", "readout_weight")):
            maps = parameter if parameter.ndim == 4 else parameter[None]
            parameter.copy_(blur(maps, SIGMA).reshape(parameter.shape))


def scaled(network: CompactNetwork, gain: float, offset: float) -> CompactNetwork:
    """The network whose response is ``gain`` times the network's, plus ``offset``."""
    tensors = dict(network.named_buffers())
    tensors["readout_weight"] = tensors["readout_weight"] * float(gain)
    tensors["readout_bias"] = tensors["readout_bias"] * float(gain) + float(offset)
    return CompactNetwork(tensors, network.strides)


def centred_pixels(images: np.ndarray) -> Tensor:
    """What students see of images uint8 (n, 3, y, x) of their size."""
    blank = CompactModels([], [], images.shape[-1])
    return blank.centred(to_float(images))
