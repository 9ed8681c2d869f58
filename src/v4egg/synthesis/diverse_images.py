"""Images that excite a unit and differ from one another, along the weight of their difference."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from pydantic import Field

from v4egg.priors.prior import Prior
from v4egg.registry import Numbers
from v4egg.synthesis.diversity import Diverse
from v4egg.synthesis.models import ResponseModel
from v4egg.synthesis.result import Synthesis
from v4egg.synthesis.sweeps import SweepOptions, SweepRun, synthesize_sweep


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

    def images(self, run: SweepRun, value: float) -> Synthesis:
        """Images that excite their units and differ, at one weight."""
        names = list(dict.fromkeys(unit for unit, _ in run.pairs))
        groups = torch.tensor([names.index(unit) for unit, _ in run.pairs])
        energy = run.excite() * (1 / run.deviations)
        return run.guided(energy + value * Diverse(groups) if value else energy, self.energy_scale)


def synthesize_diverse(
    model: ResponseModel,
    units: Sequence[str | int],
    weights: Sequence[float] = (0.0, 1.0, 3.0, 10.0),
    *,
    prior: Prior | str | Path,
    samples: int = 4,
    deviations: Mapping[str, float] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[Any], Any] = iter,
    **options: Any,
) -> xr.Dataset:
    """Images that excite a unit and differ from one another, by energy-guided diffusion along a weight of difference.

    The energy of an image is its unit's negative response, in standard deviations, plus the weight times its mean
    correlation with the unit's other images (:class:`v4egg.synthesis.diversity.Diverse`).

    Args:
        model: as in :func:`v4egg.synthesize_mei`.
        units: unit ids, or positions among the model's units.
        weights: the weights.
        prior: the diffusion prior (:func:`v4egg.load_prior`), or the path of its store.
        samples: images per unit and weight, at least 2.
        deviations: standard deviation of the responses of each unit; 1 for units that are not named.
        seed: as in :func:`v4egg.synthesis.sweeps.synthesize_sweep`.
        device: where to compute; None: where the model is.
        progress: wraps the weights.
        options: further options of :class:`DiverseImages`, such as ``energy_scale`` and ``steps``.

    Returns:
        As :func:`v4egg.synthesis.sweeps.synthesize_sweep`; ``setting`` is the weight.

    Raises:
        V4eggError: as :func:`v4egg.synthesis.sweeps.synthesize_sweep`.

    Example:
        >>> import torch, v4egg
        >>> from v4egg.priors.training import new_prior
        >>> prior = new_prior({"size": 8, "channels": 1, "patch_size": 1, "widths": [16, 32], "layers": 1})
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = v4egg.wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> diverse = v4egg.synthesize_diverse(model, ["a"], [0, 10], prior=prior, samples=3, steps=3)
        >>> dict(diverse["activation"].sizes)
        {'unit': 1, 'setting': 2, 'sample': 3}
    """
    sweep_options = {"weights": weights, "images": samples, **options}
    return synthesize_sweep(
        "diverse",
        model,
        units,
        sweep_options,
        prior=prior,
        deviations=deviations,
        seed=seed,
        device=device,
        progress=progress,
    )
