"""Most exciting naturalistic images (MENIs): along lambda, from samples of the prior to the highest response."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from pydantic import Field

from v4egg.priors.prior import Prior
from v4egg.registry import Numbers
from v4egg.synthesis.models import ResponseModel
from v4egg.synthesis.result import Synthesis
from v4egg.synthesis.sweeps import SweepOptions, SweepRun, synthesize_sweep


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

    def images(self, run: SweepRun, value: float) -> Synthesis:
        """Images that excite their units, at one lambda."""
        return run.guided(run.excite(), value)


def synthesize_meni(
    model: ResponseModel,
    units: Sequence[str | int],
    energy_scales: Sequence[float] = (0.5, 1.0, 2.0, 5.0, 10.0),
    *,
    prior: Prior | str | Path,
    samples: int = 1,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[Any], Any] = iter,
    **options: Any,
) -> xr.Dataset:
    """Most exciting naturalistic images (MENIs): energy-guided diffusion along lambda, from the same noise.

    At lambda 0 the images are samples of the prior; the larger lambda, the more the unit's response counts against it
    (Pierzchlewicz et al., NeurIPS 2023, section 4.3).

    Args:
        model: as in :func:`v4egg.synthesize_mei`.
        units: unit ids, or positions among the model's units.
        energy_scales: the values of lambda, L2 lengths of a guidance step in the prior's pixel space [-1, 1].
        prior: the diffusion prior (:func:`v4egg.load_prior`), or the path of its store.
        samples: images per unit and lambda.
        seed: as in :func:`v4egg.synthesis.sweeps.synthesize_sweep`.
        device: where to compute; None: where the model is.
        progress: wraps the values of lambda.
        options: further options of :class:`Naturalistic`, such as ``steps`` and ``norm``.

    Returns:
        As :func:`v4egg.synthesis.sweeps.synthesize_sweep`; ``setting`` is lambda.

    Raises:
        V4eggError: as :func:`v4egg.synthesis.sweeps.synthesize_sweep`.

    Example:
        >>> import torch, v4egg
        >>> from v4egg.priors.training import new_prior
        >>> prior = new_prior({"size": 8, "channels": 1, "patch_size": 1, "widths": [16, 32], "layers": 1})
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = v4egg.wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> menis = v4egg.synthesize_meni(model, ["a"], [0, 5], prior=prior, samples=2, steps=3)
        >>> dict(menis["activation"].sizes)
        {'unit': 1, 'setting': 2, 'sample': 2}
    """
    sweep_options = {"energy_scales": energy_scales, "samples": samples, **options}
    return synthesize_sweep(
        "meni", model, units, sweep_options, prior=prior, seed=seed, device=device, progress=progress
    )
