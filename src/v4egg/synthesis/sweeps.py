"""Series: images of each unit along one setting, by energy guided diffusion with the same noise at every step of it.

``meni``: most exciting naturalistic images, along lambda, from what the prior paints alone to what the encoder wants.
``diverse``: images that excite the unit and differ from one another, along the weight of their difference.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from pydantic import Field

from v4egg.encoders.ensemble import Ensemble
from v4egg.priors.prior import Prior
from v4egg.registry import Numbers, Options, Strings, options_of
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import display_constraint
from v4egg.synthesis.diversity import Diverse
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.jitter import Jitter
from v4egg.synthesis.mei import mei_energy
from v4egg.synthesis.methods import SWEEPS
from v4egg.synthesis.result import Synthesis

Pairs = Sequence[tuple[str, int]]


class SweepOptions(Options):
    """Options that every sweep has."""

    architectures: Strings = Field(
        (),
        description="The architectures whose generators make the images; empty: all.",
        json_schema_extra={"uniqueItems": True},
    )
    units: int | None = Field(None, ge=1, description="Only the first so many target units; null: all.")
    steps: int = Field(50, ge=1, description="Denoising steps.")
    sampler: Literal["ancestral", "ddim", "dpm_solver"] = Field(
        "ancestral", description="Sampler of the denoising steps."
    )
    guidance: Literal["full", "straight_through"] = Field("full", description="As for energy-guided MEIs.")
    norm: float | None = Field(None, description="L2 norm of the z-scored image; null leaves it free.")
    jitter: Jitter = Jitter()
    uncertainty_penalty: float = Field(0, ge=0, description="k in the energy mean - k sd over the generators.")

    @abstractmethod
    def values(self) -> Sequence[float]:
        """The values of the setting along which images are made."""

    @abstractmethod
    def samples_per_value(self) -> int:
        """Images per unit and value."""

    @abstractmethod
    def images(self, run: "SweepRun", value: float) -> Synthesis:
        """The images of all pairs of unit and sample at one value."""


class Naturalistic(SweepOptions):
    """Most exciting naturalistic images (MENIs): energy-guided diffusion over lambda."""

    energy_scales: Numbers = Field(
        (),
        description="The values of lambda that are compared, such as [0.5, 1, 2, 5, 10]; empty: no MENIs.",
        json_schema_extra={"items": {"type": "number", "minimum": 0}, "uniqueItems": True},
    )
    samples: int = Field(1, ge=1, description="Images per unit and lambda.")

    def values(self) -> Sequence[float]:
        """Lambda."""
        return self.energy_scales

    def samples_per_value(self) -> int:
        """Images per unit and lambda."""
        return self.samples

    def images(self, run: "SweepRun", value: float) -> Synthesis:
        """Images that excite their units, at one lambda."""
        return run.guided(run.excite(), value)


class DiverseImages(SweepOptions):
    """Images that excite a unit and differ from one another."""

    weights: Numbers = Field(
        (),
        description="Weights of the mean correlation between the images of a unit, against its response in standard "
        "deviations, such as [0, 1, 3, 10]; empty: no diverse images.",
        json_schema_extra={"items": {"type": "number", "minimum": 0}, "uniqueItems": True},
    )
    n_images: int = Field(4, ge=2, alias="images", description="Images per unit and weight.")
    energy_scale: float = Field(2.0, ge=0, description="lambda: L2 length of a guidance step.")

    def values(self) -> Sequence[float]:
        """The weights."""
        return self.weights

    def samples_per_value(self) -> int:
        """Images per unit and weight."""
        return self.n_images

    def images(self, run: "SweepRun", value: float) -> Synthesis:
        """Images that excite their units and differ, at one weight."""
        names = list(dict.fromkeys(unit for unit, _ in run.pairs))
        groups = torch.tensor([names.index(unit) for unit, _ in run.pairs])
        energy = run.excite() * (1 / run.deviations)
        return run.guided(energy + value * Diverse(groups) if value else energy, self.energy_scale)


def image_series(
    sweep: str,
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
        sweep: a name of :data:`SWEEPS`.
        generators: the ensemble whose responses are maximised.
        units: unit ids; none gives an empty result.
        options: of the sweep, see its :class:`SweepOptions`; those that are not given have their defaults.
        deviations: standard deviation of each unit's responses, which is 1 in the weights of ``diverse``.
        prior_path: store of the prior.
        seed: every draw is keyed by (seed, sweep, unit, sample): neither batches nor other settings matter.
        device: where to compute.
        progress: wraps the settings.

    Raises:
        V4eggError: no sweep has that name, or an option is unknown or impossible.
    """
    chosen: SweepOptions = options_of(SWEEPS, sweep, options, "sweep")
    generators = generators.to(device)
    settings, samples = chosen.values(), chosen.samples_per_value()
    pairs = [(unit, sample) for unit in units for sample in range(samples)]
    if not pairs:
        return _empty(generators, settings, samples)
    prior = load_guide(prior_path, generators.members[0].stimulus_spec, device)
    scales = torch.tensor([deviations.get(unit, 1.0) for unit, _ in pairs], device=device)
    run = SweepRun(generators, prior, pairs, scales, chosen, (seed, sweep))
    made = [chosen.images(run, value) for value in progress(settings)]
    index = generators.index([unit for unit, _ in pairs]).to(device)
    with torch.no_grad():
        responses = [generators.paired(result.images, index) for result in made]
    return _dataset(units, settings, samples, made, responses)


@dataclass
class SweepRun:
    """What all values of a sweep share.

    Attributes:
        generators: the ensemble whose responses are maximised.
        prior: the diffusion prior.
        pairs: unit id and sample of each image.
        deviations: (pair,) standard deviation of the responses of each pair's unit.
        options: of the sweep.
        key: what all draws are keyed by, beside unit and sample.
    """

    generators: Ensemble
    prior: Prior
    pairs: Pairs
    deviations: torch.Tensor
    options: SweepOptions
    key: tuple[object, ...]

    def excite(self) -> Energy:
        """The energy of exciting each pair's unit."""
        return mei_energy(self.generators, self.pairs, self.options, self.key)

    def guided(self, energy: Energy, scale: float) -> Synthesis:
        """Images by energy-guided diffusion; the starting and step noise is the same at every value."""
        return energy_guided(
            energy,
            [torch_generator(*self.key, unit, sample) for unit, sample in self.pairs],
            self.prior,
            steps=self.options.steps,
            sampler=self.options.sampler,
            guidance=self.options.guidance,
            energy_scale=scale,
            constraint=display_constraint(self.options.norm, self.generators.members[0].stimulus_spec),
        )


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
