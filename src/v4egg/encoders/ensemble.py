"""Ensembles of members, which are divided into those that generate images and those that validate them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from v4egg.encoders.backbones import Backbone
from v4egg.encoders.encoder import Encoder, GroupedEncoder, load_member
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess


class Ensemble(nn.Module):
    """The mean prediction of members for the same units: over each architecture's members, then over architectures.

    Args:
        members: encoders of the same units in the same order.

    Raises:
        V4eggError: there is no member, or members predict different units.

    Example:
        >>> spec = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "gaussian"}, "output": "identity"}
        >>> spec |= {"size": 16, "channels": 1, "mean": [0.5], "std": [0.2]}
        >>> ensemble = Ensemble([Encoder(["s1-u000", "s1-u001"], spec) for _ in range(3)])
        >>> images = torch.rand(4, 1, 16, 16)
        >>> ensemble(images).shape, ensemble.each(images).shape
        (torch.Size([4, 2]), torch.Size([3, 4, 2]))
    """

    members: Sequence[Encoder | GroupedEncoder]
    weights: Tensor

    def __init__(self, members: Sequence[Encoder | GroupedEncoder]) -> None:
        super().__init__()
        if not members:
            raise V4eggError("an ensemble needs at least one member; give it the members' stores")
        if any(member.units != members[0].units for member in members):
            raise V4eggError("the ensemble's members predict different units; give members of one training run")
        _share_backbones(members)
        # in the other layout convolutions take up to twice as long
        self.members = nn.ModuleList(members).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.units = members[0].units
        self.register_buffer("weights", _weights(members), persistent=False)

    @property
    def stimulus_spec(self) -> Preprocess:
        """Size, colour and scale of the images that are made for the ensemble: those of its first member."""
        return self.members[0].stimulus_spec

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Mean responses (B, U) to images (B, C, y, x) in [0, 1], of all units or those of an index tensor."""
        return torch.tensordot(self.weights, self.each(images, units), 1)

    def each(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (M, B, U) of each member to images (B, C, y, x) in [0, 1]."""
        return torch.stack([member.respond(features, units) for member, features in self._features(images)])

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Mean responses (B,) of one unit to each image, given the units' indices (B,)."""
        return torch.tensordot(self.weights, self.each_paired(images, units), 1)

    def each_paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Responses (M, B) of each member, of one unit to each image, given the units' indices (B,)."""
        return torch.stack([member.respond_paired(features, units) for member, features in self._features(images)])

    def _features(self, images: Tensor) -> Iterator[tuple[Encoder | GroupedEncoder, Any]]:
        frozen: dict[int, Tensor] = {}  # a frozen network that members share is evaluated once
        for member in self.members:
            features: Any = member.features(images, frozen)
            yield member, features

    def index(self, units: Sequence[str]) -> Tensor:
        """Index tensor (U,) of unit ids.

        Raises:
            V4eggError: there is no such unit.
        """
        return self.members[0].index(units)

    def generators(self) -> "Ensemble":
        """The ensemble of members that may be used to synthesize images."""
        return self._with_role("generator")

    def validators(self) -> "Ensemble":
        """The ensemble of members that are not used to synthesize images."""
        return self._with_role("validator")

    def shares_network(self, other: "Ensemble") -> bool:
        """Whether a frozen network in one of these members is also in one of the other's."""
        return any(_same(one, two) for one in _backbones(self.members) for two in _backbones(other.members))

    def frozen_networks(self) -> set[str]:
        """Names of the frozen networks in the members, of :data:`v4egg.encoders.backbones.BACKBONES`."""
        return {backbone.options["name"] for backbone in _backbones(self.members)}

    def _with_role(self, role: str) -> "Ensemble":
        return Ensemble([member for member in self.members if member.role == role])


def _weights(members: Sequence[Encoder | GroupedEncoder]) -> Tensor:
    """Weight of each member (M,); they sum to 1, with the same sum for each architecture."""
    archs = [getattr(member, "arch", "") for member in members]
    return torch.tensor([1 / (len(set(archs)) * archs.count(arch)) for arch in archs])


def _share_backbones(members: Sequence[Encoder | GroupedEncoder]) -> None:
    """Let members with the same frozen network hold one copy of it."""
    distinct: list[Backbone] = []
    for core in _frozen_cores(members):
        same = next((other for other in distinct if _same(other, core.backbone)), None)
        if same is None:
            distinct.append(core.backbone)
        else:
            core.backbone = same


def _frozen_cores(members: Sequence[Encoder | GroupedEncoder]) -> list[Any]:
    """The cores with a frozen network, of members and of their parts."""
    cores = (getattr(part, "core", None) for member in members for part in getattr(member, "parts", [member]))
    return [core for core in cores if hasattr(core, "backbone")]


def _backbones(members: Sequence[Encoder | GroupedEncoder]) -> list[Backbone]:
    return [core.backbone for core in _frozen_cores(members)]


def _same(one: Backbone, other: Backbone) -> bool:
    if one is other:
        return True
    a, b = one.state_dict(), other.state_dict()
    alike = one.options == other.options and a.keys() == b.keys()
    return bool(alike) and all(torch.equal(a[name], b[name]) for name in a)


def load_encoder(paths: str | Path | Sequence[str | Path]) -> Ensemble:
    """The ensemble of the members in these stores (``encoders/<arch>/<member>.zarr``), frozen, in evaluation mode.

    Example:
        >>> import tempfile
        >>> from v4egg.encoders.encoder import Encoder
        >>> spec = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "gaussian"}, "output": "identity"}
        >>> spec |= {"size": 16, "channels": 1, "mean": [0.5], "std": [0.2]}
        >>> folder = Path(tempfile.mkdtemp())
        >>> for member in ("m0", "m1"):
        ...     Encoder(["s1-u000"], spec).save(folder / member, arch="small", member=member, role="generator")
        >>> ensemble = load_encoder([folder / "m0", folder / "m1"])
        >>> ensemble(torch.rand(3, 1, 16, 16)).shape
        torch.Size([3, 1])
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    return Ensemble([load_member(path) for path in paths])


def load_ensembles(paths: Mapping[str, Sequence[str | Path]]) -> dict[str, Ensemble]:
    """The ensemble of each architecture, from the stores of its members; see :func:`load_encoder`."""
    return {arch: load_encoder(members) for arch, members in paths.items()}
