"""Sweeps: images of each unit along one setting, by energy-guided diffusion from the same noise at each value."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from pydantic import Field

from v4egg.device import device_of
from v4egg.priors.prior import Prior
from v4egg.registry import Options, Strings, options_of
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import display_constraint
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.jitter import Jitter
from v4egg.synthesis.mei import Pairs, borrowed_all, mei_energy, sample_pairs
from v4egg.synthesis.methods import SWEEPS
from v4egg.synthesis.models import ResponseModel, unit_ids, validate_model
from v4egg.synthesis.result import Synthesis


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


@dataclass
class SweepRun:
    """What all values of a sweep share.

    Attributes:
        model: predicts the responses.
        prior: the diffusion prior.
        pairs: unit id and sample of each image.
        deviations: (pair,) standard deviation of the responses of each pair's unit.
        options: of the sweep.
        key: what all draws are keyed by, beside unit and sample.
    """

    model: ResponseModel
    prior: Prior
    pairs: Pairs
    deviations: torch.Tensor
    options: SweepOptions
    key: tuple[object, ...]

    def excite(self) -> Energy:
        """The energy of exciting each pair's unit."""
        return mei_energy(self.model, self.pairs, self.options, self.key)

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
            constraint=display_constraint(self.options.norm, self.model.stimulus_spec),
        )


def synthesize_sweep(
    sweep: str,
    model: ResponseModel,
    units: Sequence[str | int],
    options: Mapping[str, Any],
    *,
    prior: Prior | str | Path,
    deviations: Mapping[str, float] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[Any], Any] = iter,
) -> xr.Dataset:
    """Images of units along one setting, by energy-guided diffusion from the same noise at each of its values.

    Model, units, device and options are checked before anything is computed; model and prior are left as they were.

    Args:
        sweep: a name of :data:`v4egg.synthesis.methods.SWEEPS`: ``meni`` or ``diverse``.
        model: as in :func:`v4egg.synthesize_mei`.
        units: unit ids, or positions among the model's units; none gives an empty result.
        options: of the sweep, see :class:`v4egg.synthesis.meni.Naturalistic` and
            :class:`v4egg.synthesis.diverse_images.DiverseImages`; those that are not given have their defaults.
        prior: the diffusion prior (:func:`v4egg.load_prior`), or the path of its store.
        deviations: standard deviation of the responses of each unit, which is 1 in the weights of ``diverse``; 1 for
            units that are not named.
        seed: every draw is keyed by (seed, sweep, unit id, sample): neither batches nor other settings matter.
        device: where to compute; None: where the model is.
        progress: wraps the values of the setting.

    Returns:
        A dataset of kind ``series``: ``image`` [unit, setting, sample, channel, y, x] in [0, 1], and ``activation``
        (predicted response), ``evaluations`` and ``seconds`` [unit, setting, sample].

    Raises:
        V4eggError: the model cannot be used, has no such unit, the device cannot be used, no sweep has that name, or an
            option is unknown or impossible.
    """
    chosen: SweepOptions = options_of(SWEEPS, sweep, options, "sweep")
    validate_model(model)
    settings, samples = chosen.values(), chosen.samples_per_value()
    names = unit_ids(model, units)
    pairs = sample_pairs(names, samples)
    if not pairs:
        return _empty(model, settings, samples)
    with borrowed_all(model, {"prior": prior}, device) as (local_model, stores):
        guide = load_guide(stores["prior"], local_model.stimulus_spec, str(device_of(local_model)))
        scales = torch.tensor([(deviations or {}).get(unit, 1.0) for unit, _ in pairs])
        run = SweepRun(local_model, guide, pairs, scales, chosen, (seed, sweep))
        results = [chosen.images(run, value) for value in progress(settings)]
        index = local_model.index([unit for unit, _ in pairs]).to(device_of(local_model))
        with torch.no_grad():
            responses = [local_model.paired(result.images, index) for result in results]
    return _dataset(names, settings, samples, results, responses)


def _dataset(
    units: Sequence[str],
    settings: Sequence[float],
    samples: int,
    results: Sequence[Synthesis],
    responses: Sequence[torch.Tensor],
) -> xr.Dataset:
    def stacked(values: Sequence[torch.Tensor]) -> np.ndarray:
        whole = torch.stack(list(values), 1).cpu().numpy().astype(np.float32)  # (pair, setting, ...)
        whole = whole.reshape(len(units), samples, *whole.shape[1:])
        return whole.swapaxes(1, 2)

    shape = (len(units), len(settings), samples)
    cost = ("unit", "setting", "sample")
    evaluations = np.array([result.evaluations for result in results])[None, :, None]
    seconds = np.array([result.seconds for result in results])[None, :, None] / max(1, shape[0] * shape[2])
    return xr.Dataset(
        {
            "image": ((*cost, "channel", "y", "x"), stacked([result.images for result in results])),
            "activation": (cost, stacked(responses)),
            "evaluations": (cost, np.broadcast_to(evaluations, shape)),
            "seconds": (cost, np.broadcast_to(seconds, shape).astype(np.float32)),
        },
        {"unit": np.asarray(list(units), object), "setting": np.asarray(settings, float)},
    )


def _empty(model: ResponseModel, settings: Sequence[float], samples: int) -> xr.Dataset:
    stimulus_spec = model.stimulus_spec
    blank = torch.zeros(0, stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
    nothing = [Synthesis(blank, torch.zeros(0), torch.zeros(0, 0), 0, 0.0) for _ in settings]
    return _dataset([], settings, samples, nothing, [torch.zeros(0)] * len(nothing))
