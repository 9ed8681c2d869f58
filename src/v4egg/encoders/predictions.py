"""What every member predicts for a session's natural images: asked once, for scores and for judges."""

from collections.abc import Callable, Mapping, Sequence

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
    progress: Callable = iter,
) -> xr.Dataset:
    """Predictions of each single member; of kind ``predictions``, which wants a coordinate ``image`` besides.

    Architectures may have a frozen network in common: it sees each image once for all of them.

    Args:
        ensembles: architecture -> its members, whose names and roles are the same for all architectures.
        images: uint8 (n, c, y, x).
        units: ids of the units asked for.
        rows: which images are asked for; all by default.

    Returns:
        response[arch, member, image, unit] as the member gives it (z-scored or in spikes per window, see ``output``),
        NaN for images that were not asked for. Coordinates: role[member]; core, readout and output[arch].
    """
    rows = np.arange(len(images)) if rows is None else rows
    members = [member for ensemble in ensembles.values() for member in ensemble.members]
    everyone = Ensemble(members).to(device)
    index = everyone.index(units).to(device)
    parts = [
        everyone.each(to_float(images[rows[start : start + BATCH]]).to(device), index).cpu()
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
