"""Most exciting images of a batch of units, by the method's name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
import xarray as xr

from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io.checkpoints import Checkpoint
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import Constraint, display_constraint
from v4egg.synthesis.energies import Energy, Excite
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.gradient_ascent import gradient_ascent
from v4egg.synthesis.jitter import Jittered
from v4egg.synthesis.result import Synthesis

SHARED = ("norm", "jitter", "uncertainty_penalty")  # options that shape the energy, the same for every method


def most_exciting_images(
    method: str,
    generators: Ensemble,
    units: Sequence[str],
    options: Mapping[str, Any],
    *,
    prior_path: str | None = None,
    decoder_path: str | None = None,
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
        options: ``norm`` (L2 norm of the z-scored image, None: free), ``uncertainty_penalty`` (see
            :class:`v4egg.synthesis.energies.Excite`), possibly ``jitter`` (options of
            :class:`v4egg.synthesis.energies.Jittered`), and those of the method.
        prior_path, decoder_path: stores of the prior and of the image decoder, for methods that use them.
        samples: images a unit. Every draw is keyed by (seed, method, unit, sample): batches do not matter.
        checkpoint: where methods that take long keep their state.

    Raises:
        V4eggError: no method has that name.
    """
    if method not in METHODS:
        raise V4eggError(f"synthesis: unknown method '{method}'; known: {', '.join(sorted(METHODS))}")
    generators = generators.to(device)
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    stimulus_spec = generators.members[0].stimulus_spec
    if not pairs:
        shape = (0, samples, stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
        return _dataset(units, np.zeros(shape), np.zeros((0, samples, 0)), 0, 0.0)
    energy = mei_energy(generators, pairs, options, (seed, method))
    constraint = display_constraint(options["norm"], stimulus_spec)
    draws = [torch_generator(seed, method, unit, sample) for unit, sample in pairs]
    own = {key: value for key, value in options.items() if key not in SHARED}
    stores = {"prior": prior_path, "decoder": decoder_path}
    result = METHODS[method](_Task(energy, draws, stimulus_spec, constraint, device, progress, stores, checkpoint), own)
    images = result.images.cpu().numpy().reshape(len(units), samples, *result.images.shape[1:])
    trajectory = -result.trajectory.cpu().numpy().reshape(len(units), samples, -1)
    return _dataset(units, images, trajectory, result.evaluations, result.seconds / len(pairs))


def mei_energy(
    generators: Ensemble, pairs: Sequence[tuple[str, int]], options: Mapping[str, Any], key: tuple[object, ...]
) -> Energy:
    """The energy of exciting each pair's unit (unit id, sample), with ``uncertainty_penalty`` and over ``jitter``'s
    copies.
    """
    units = generators.index([unit for unit, _ in pairs]).to(generators.weights.device)
    energy, jitter = Excite(generators, units, options["uncertainty_penalty"]), options.get("jitter")
    if not jitter or not jitter["copies"]:
        return energy
    draws = [torch_generator(*key, "jitter", unit, sample) for unit, sample in pairs]
    return Jittered(energy, draws, **jitter)


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


@dataclass
class _Task:
    """What every method gets: the energy of the batch's images, a generator for each, and where things are."""

    energy: Energy
    draws: list[torch.Generator]
    stimulus_spec: Preprocess
    constraint: Constraint
    device: str
    progress: Callable
    stores: Mapping[str, str | None] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None


def _gradient_ascent(task: _Task, options: Mapping[str, Any]) -> Synthesis:
    shared = {"constraint": task.constraint, "progress": task.progress}
    return gradient_ascent(task.energy, task.draws, task.stimulus_spec, **shared, **options)


def _energy_guided(task: _Task, options: Mapping[str, Any]) -> Synthesis:
    prior = load_guide(task.stores["prior"], task.stimulus_spec, task.device)
    shared = {"constraint": task.constraint, "progress": task.progress}
    return energy_guided(task.energy, task.draws, prior, **shared, **options)


def _evolution(task: _Task, options: Mapping[str, Any]) -> Synthesis:
    return import_module("v4egg.xdream.evolved").evolution_method(task, options)


METHODS = {"gradient_ascent": _gradient_ascent, "energy_guided": _energy_guided, "evolution": _evolution}
