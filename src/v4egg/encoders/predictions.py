"""Predictions of every member for a session's natural images, computed once for scores and for judges."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from v4egg.encoders.ensemble import Ensemble
from v4egg.images.processing import to_float

BATCH = 16  # small enough for the processor's cache where a frozen network sees 224 px


@torch.no_grad()
def predict_session(
    ensembles: Mapping[str, Ensemble],
    images: np.ndarray,
    units: Sequence[str],
    rows: np.ndarray | None = None,
    *,
    device: str = "cpu",
    progress: Callable[[range], Any] = iter,
) -> xr.Dataset:
    """Predictions of each member as a dataset of kind ``predictions``, without its coordinate ``image``.

    A frozen network that architectures share is evaluated once per image.

    Args:
        ensembles: architecture -> its members, whose names and roles are the same for all architectures.
        images: uint8 (n, c, y, x).
        units: unit ids.
        rows: positions of the images to predict; all by default.

    Returns:
        response[arch, member, image, unit] in the units of the member's output (z-scored or in spikes per
        window, see ``output``),
        NaN for images that are not in ``rows``. Coordinates: role[member]; core, readout and output[arch].
    """
    rows = np.arange(len(images)) if rows is None else rows
    members = [member for ensemble in ensembles.values() for member in ensemble.members]
    ensemble_of_all = Ensemble(members).to(device)
    index = ensemble_of_all.index(units).to(device)
    parts = [
        ensemble_of_all.each(to_float(images[rows[start : start + BATCH]]).to(device), index).cpu()
        for start in progress(range(0, len(rows), BATCH))
    ]
    first = next(iter(ensembles.values())).members
    response = np.full((len(ensembles), len(first), len(images), len(units)), np.nan, np.float32)
    response[:, :, rows] = torch.cat(parts, 1).numpy().reshape(*response.shape[:2], len(rows), len(units))
    specs = [ensemble.members[0].spec for ensemble in ensembles.values()]
    coordinates = {
        "arch": list(ensembles),
        "member": [member.member for member in first],
        "unit": list(units),
        "role": ("member", [member.role for member in first]),
        "core": ("arch", [spec["core"]["name"] for spec in specs]),
        "readout": ("arch", [spec["readout"]["name"] for spec in specs]),
        "output": ("arch", [spec["output"] for spec in specs]),
    }
    return xr.Dataset({"response": (("arch", "member", "image", "unit"), response)}, coordinates)
