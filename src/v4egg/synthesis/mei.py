"""Most exciting images of a batch of units, by the method's name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from v4egg.encoders.ensemble import Ensemble
from v4egg.io.checkpoints import Checkpoint
from v4egg.registry import options_of
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import display_constraint
from v4egg.synthesis.energies import Energy, Excite
from v4egg.synthesis.jitter import Jitter, Jittered
from v4egg.synthesis.method import MethodOptions, Task
from v4egg.synthesis.methods import METHODS


def most_exciting_images(
    method: str,
    generators: Ensemble,
    units: Sequence[str],
    options: Mapping[str, Any],
    *,
    stores: Mapping[str, Any] | None = None,
    samples: int = 1,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable = iter,
    checkpoint: Checkpoint | None = None,
) -> xr.Dataset:
    """Images [unit, sample, channel, y, x] of kind ``mei`` that excite each unit of ``generators``.

    Args:
        method: a name of :data:`METHODS`.
        generators: the ensemble to climb.
        units: unit ids; none gives an empty result.
        options: of the method, see its :class:`~v4egg.synthesis.method.MethodOptions`; those that are not given have
            their defaults.
        stores: paths of the stores that the method's entry requires, by name, such as ``prior``.
        samples: images per unit. Every draw is keyed by (seed, method, unit, sample): batches do not matter.
        checkpoint: where methods that take long keep their state.

    Raises:
        V4eggError: no method has that name, or an option is unknown or impossible.
    """
    chosen: MethodOptions = options_of(METHODS, method, options, "method of synthesis")
    generators = generators.to(device)
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    stimulus_spec = generators.members[0].stimulus_spec
    if not pairs:
        shape = (0, samples, stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
        return _dataset(units, np.zeros(shape), np.zeros((0, samples, 0)), 0, 0.0)
    energy = mei_energy(generators, pairs, chosen, (seed, method))
    constraint = display_constraint(chosen.norm, stimulus_spec)
    draws = [torch_generator(seed, method, unit, sample) for unit, sample in pairs]
    task = Task(energy, draws, stimulus_spec, constraint, device, progress, stores or {}, checkpoint)
    result = chosen.synthesize(task)
    images = result.images.cpu().numpy().reshape(len(units), samples, *result.images.shape[1:])
    trajectory = -result.trajectory.cpu().numpy().reshape(len(units), samples, -1)
    return _dataset(units, images, trajectory, result.evaluations, result.seconds / len(pairs))


def mei_energy(generators: Ensemble, pairs: Sequence[tuple[str, int]], options: Any, key: tuple[object, ...]) -> Energy:
    """The energy of exciting each pair's unit.

    Args:
        generators: the ensemble that predicts the responses.
        pairs: unit id and sample of each image.
        options: of a method or a sweep; their ``uncertainty_penalty``, and ``jitter`` where there is one.
        key: what the draws of the jitter are keyed by, beside unit and sample.
    """
    units = generators.index([unit for unit, _ in pairs]).to(generators.weights.device)
    energy = Excite(generators, units, options.uncertainty_penalty)
    jitter: Jitter | None = getattr(options, "jitter", None)
    if jitter is None or not jitter.copies:
        return energy
    draws = [torch_generator(*key, "jitter", unit, sample) for unit, sample in pairs]
    return Jittered(energy, draws, **jitter.model_dump())


def _dataset(units: Sequence[str], images, trajectory, evaluations: int, seconds: float) -> xr.Dataset:
    cost = ("unit", "sample")
    shape = images.shape[:2]
    return xr.Dataset(
        {
            "image": (("unit", "sample", "channel", "y", "x"), images.astype(np.float32)),
            "activation": (("unit", "sample", "step"), trajectory.astype(np.float32)),
            "evaluations": (cost, np.full(shape, evaluations)),
            "seconds": (cost, np.full(shape, seconds, np.float32)),
        },
        {"unit": np.asarray(list(units), object)},
    )
