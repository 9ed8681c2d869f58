"""Ensembles: the mean of members, split into disjoint halves that generate and that validate."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from v4egg.encoders.encoder import Encoder, GroupedEncoder, load_member
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess


class Ensemble(nn.Module):
    """The mean of members that predict the same units: of each architecture's members, then of the architectures."""

    def __init__(self, members: Sequence[Encoder | GroupedEncoder]):
        super().__init__()
        if not members:
            raise V4eggError("an ensemble needs at least one member; give it the members' stores")
        if any(member.units != members[0].units for member in members):
            raise V4eggError("the ensemble's members predict different units; give members of one training run")
        _share_backbones(members)
        # in the other layout convolutions take up to twice as long
        self.members = nn.ModuleList(members).to(memory_format=torch.channels_last)
        self.units = members[0].units
        self.register_buffer("weights", _weights(members), persistent=False)

    @property
    def stimulus_spec(self) -> Preprocess:
        """Size, colour and scale of the images that are made for the ensemble: those of its first member."""
        return self.members[0].stimulus_spec

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> mean responses (B, U)."""
        return torch.tensordot(self.weights, self.each(images, units), 1)

    def each(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> responses of each member (M, B, U)."""
        return torch.stack([member.respond(features, units) for member, features in self._features(images)])

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Images and one unit index each -> mean response of that unit to that image (B,)."""
        return torch.tensordot(self.weights, self.each_paired(images, units), 1)

    def each_paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Images and one unit index each -> that unit's response by each member (M, B)."""
        return torch.stack([member.respond_paired(seen, units) for member, seen in self._features(images)])

    def _features(self, images: Tensor) -> Iterator[tuple[Encoder | GroupedEncoder, Any]]:
        frozen: dict[int, Tensor] = {}  # a frozen network that members share sees the images once
        for member in self.members:
            yield member, member.features(images, frozen)

    def index(self, units: Sequence[str]) -> Tensor:
        """Unit ids -> index tensor."""
        return self.members[0].index(units)

    def generators(self) -> "Ensemble":
        """The members that may make images."""
        return self._with_role("generator")

    def validators(self) -> "Ensemble":
        """The members that take no part in making images."""
        return self._with_role("validator")

    def shares_network(self, other: "Ensemble") -> bool:
        """Whether a frozen network in one of these members is also in one of the other's."""
        return any(_same(one, two) for one in _backbones(self.members) for two in _backbones(other.members))

    def frozen_networks(self) -> set[str]:
        """Names of the frozen networks in the members, of :data:`v4egg.encoders.backbones.BACKBONES`."""
        return {backbone.options["name"] for backbone in _backbones(self.members)}

    def _with_role(self, role: str) -> "Ensemble":
        return Ensemble([member for member in self.members if member.role == role])


def _weights(members: Sequence[nn.Module]) -> Tensor:
    """One number a member (M,), summing to 1, the same sum for each architecture."""
    archs = [getattr(member, "arch", "") for member in members]
    return torch.tensor([1 / (len(set(archs)) * archs.count(arch)) for arch in archs])


def _share_backbones(members: Sequence[nn.Module]) -> None:
    """Let members with the same frozen network hold one copy of it."""
    known: list[nn.Module] = []
    for core in _frozen_cores(members):
        same = next((other for other in known if _same(other, core.backbone)), None)
        if same is None:
            known.append(core.backbone)
        else:
            core.backbone = same


def _frozen_cores(members: Sequence[nn.Module]) -> list[nn.Module]:
    """The cores that have a frozen network, of members and of their parts."""
    cores = (getattr(part, "core", None) for member in members for part in getattr(member, "parts", [member]))
    return [core for core in cores if hasattr(core, "backbone")]


def _backbones(members: Sequence[nn.Module]) -> list[nn.Module]:
    return [core.backbone for core in _frozen_cores(members)]


def _same(one: nn.Module, other: nn.Module) -> bool:
    if one is other:
        return True
    a, b = one.state_dict(), other.state_dict()
    alike = one.options == other.options and a.keys() == b.keys()
    return alike and all(torch.equal(a[name], b[name]) for name in a)


def load_encoder(paths: str | Path | Sequence[str | Path]) -> Ensemble:
    """The ensemble of the members in these stores (``encoders/<arch>/<member>.zarr``), frozen, in evaluation mode."""
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    return Ensemble([load_member(path) for path in paths])
