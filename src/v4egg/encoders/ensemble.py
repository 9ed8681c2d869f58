"""Ensembles: the mean of members, split into disjoint halves that generate and that validate."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from v4egg.encoders.encoder import Encoder, load_member
from v4egg.errors import V4eggError


class Ensemble(nn.Module):
    """The arithmetic mean of members that predict the same units."""

    def __init__(self, members: Sequence[Encoder]):
        super().__init__()
        if not members:
            raise V4eggError("an ensemble needs at least one member; give it the members' stores")
        if any(member.units != members[0].units for member in members):
            raise V4eggError("the ensemble's members predict different units; give members of one training run")
        self.members = nn.ModuleList(members)
        self.units = members[0].units

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> mean responses (B, U)."""
        return torch.stack([member(images, units) for member in self.members]).mean(0)

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Images and one unit index each -> mean response of that unit to that image (B,)."""
        return torch.stack([member.paired(images, units) for member in self.members]).mean(0)

    def index(self, units: Sequence[str]) -> Tensor:
        """Unit ids -> index tensor."""
        return self.members[0].index(units)

    def generators(self) -> "Ensemble":
        """The members that may make images."""
        return self._with_role("generator")

    def validators(self) -> "Ensemble":
        """The members that take no part in making images."""
        return self._with_role("validator")

    def _with_role(self, role: str) -> "Ensemble":
        return Ensemble([member for member in self.members if member.role == role])


def load_encoder(paths: str | Path | Sequence[str | Path]) -> Ensemble:
    """The ensemble of the members in these stores (``encoders/<arch>/<member>.zarr``), frozen, in evaluation mode."""
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    return Ensemble([load_member(path) for path in paths])
