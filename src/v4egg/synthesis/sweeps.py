"""Series: images of each unit along one setting, by energy guided diffusion with the same noise at every step of it.

``meni``: most exciting naturalistic images, along lambda, from what the prior paints alone to what the encoder wants.
``diverse``: images that excite the unit and differ from one another, along the weight of their difference.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.priors.prior import Prior
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import display_constraint
from v4egg.synthesis.diversity import Diverse
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.mei import mei_energy
from v4egg.synthesis.result import Synthesis

GUIDANCE = ("steps", "sampler", "guidance")  # options that energy_guided takes as they are
Pairs = Sequence[tuple[str, int]]


def image_series(
    family: str,
    generators: Ensemble,
    units: Sequence[str],
    options: Mapping[str, Any],
    *,
    deviations: Mapping[str, float],
    prior_path: str,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable = iter,
) -> xr.Dataset:
    """Images [unit, setting, sample, channel, y, x] of kind ``series``.

    Args:
        family: a name of :data:`FAMILIES`.
        generators: the ensemble to climb.
        units: unit ids; none gives an empty result.
        options: ``steps``, ``sampler``, ``guidance``, ``norm``, ``jitter``, ``uncertainty_penalty``; for ``meni``
            ``energy_scales`` and ``samples``, for ``diverse`` ``weights``, ``energy_scale`` and ``images``.
        deviations: sd of each unit's responses, which is 1 in the weights of ``diverse``.
        seed: every draw is keyed by (seed, family, unit, sample): neither batches nor other settings matter.

    Raises:
        V4eggError: no family has that name.
    """
    if family not in FAMILIES:
        raise V4eggError(f"synthesis: unknown family '{family}'; known: {', '.join(sorted(FAMILIES))}")
    generators = generators.to(device)
    make, settings, samples = FAMILIES[family](options)
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    if not pairs:
        return _empty(generators, settings, samples)
    prior = load_guide(prior_path, generators.members[0].stimulus_spec, device)
    scales = torch.tensor([deviations.get(unit, 1.0) for unit, _ in pairs], device=device)
    made = [
        make(_Run(generators, prior, pairs, scales, options, (seed, family)), value) for value in progress(settings)
    ]
    index = generators.index([unit for unit, _ in pairs]).to(device)
    with torch.no_grad():
        responses = [generators.paired(result.images, index) for result in made]
    return _dataset(units, settings, samples, made, responses)


class _Run:
    """What all settings of a series share."""

    def __init__(self, generators: Ensemble, prior: Prior, pairs: Pairs, deviations, options, key: tuple):
        self.generators, self.prior, self.pairs, self.options, self.key = generators, prior, pairs, options, key
        self.deviations = deviations

    def excite(self) -> Energy:
        return mei_energy(self.generators, self.pairs, self.options, self.key)

    def __call__(self, energy: Energy, scale: float) -> Synthesis:
        draws = [torch_generator(*self.key, unit, sample) for unit, sample in self.pairs]
        constraint = display_constraint(self.options["norm"], self.generators.members[0].stimulus_spec)
        chosen = {name: self.options[name] for name in GUIDANCE}
        return energy_guided(energy, draws, self.prior, energy_scale=scale, constraint=constraint, **chosen)


def _naturalistic(run: _Run, scale: float) -> Synthesis:
    return run(run.excite(), scale)


def _diverse(run: _Run, weight: float) -> Synthesis:
    names = list(dict.fromkeys(unit for unit, _ in run.pairs))
    groups = torch.tensor([names.index(unit) for unit, _ in run.pairs])
    energy = run.excite() * (1 / run.deviations)
    return run(energy + weight * Diverse(groups) if weight else energy, run.options["energy_scale"])


FAMILIES = {  # options -> how one setting is made, the settings, and images a unit and setting
    "meni": lambda options: (_naturalistic, options["energy_scales"], options["samples"]),
    "diverse": lambda options: (_diverse, options["weights"], options["images"]),
}


def _dataset(units: Sequence[str], settings, samples: int, made: Sequence[Synthesis], responses) -> xr.Dataset:
    def stacked(values: Sequence[torch.Tensor]) -> np.ndarray:
        whole = torch.stack(list(values), 1).cpu().numpy().astype(np.float32)  # (pair, setting, ...)
        whole = whole.reshape(len(units), samples, *whole.shape[1:])
        return whole.swapaxes(1, 2)

    shape = (len(units), len(settings), samples)
    cost = ("unit", "setting", "sample")
    evaluations = np.array([result.evaluations for result in made])[None, :, None]
    seconds = np.array([result.seconds for result in made])[None, :, None] / max(1, shape[0] * shape[2])
    return xr.Dataset(
        {
            "image": ((*cost, "channel", "y", "x"), stacked([result.images for result in made])),
            "activation": (cost, stacked(responses)),
            "evaluations": (cost, np.broadcast_to(evaluations, shape)),
            "seconds": (cost, np.broadcast_to(seconds, shape).astype(np.float32)),
        },
        {"unit": np.asarray(list(units), object), "setting": np.asarray(settings, float)},
    )


def _empty(generators: Ensemble, settings, samples: int) -> xr.Dataset:
    stimulus_spec = generators.members[0].stimulus_spec
    blank = torch.zeros(0, stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
    nothing = [Synthesis(blank, torch.zeros(0), torch.zeros(0, 0), 0, 0.0) for _ in settings]
    return _dataset([], settings, samples, nothing, [torch.zeros(0)] * len(nothing))
