"""The encoding model: preprocess -> core -> readout -> output nonlinearity, for the units of many sessions.

One core serves all sessions (:class:`Encoder`), or each group of them has its own (:class:`GroupedEncoder`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.encoders.cores import Core, TaskDrivenCore, make_core
from v4egg.encoders.readouts import Readout, make_readout
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io import stores

OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda y: y,  # z-scored responses (mean squared error)
    "elu+1": lambda y: F.elu(y) + 1,  # expected counts (Poisson loss)
}


class Encoder(nn.Module):
    """Predicts the responses of units to images.

    Args:
        units: unit ids, one per output.
        spec: everything that rebuilds the module: ``core``, ``readout`` and ``output``; ``size``, ``channels``,
            ``mean`` and ``std`` of the network's input; and ``stimulus_spec``, the same four of the synthesized
            images, where they differ.

    Attributes:
        preprocess: converts images to the network's input.
        stimulus_spec: size, colour and scale of the images that are synthesized for the encoder.
        arch, member, role, trained_as: set by :func:`load_member`.

    Example:
        >>> spec = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "gaussian"}, "output": "identity"}
        >>> encoder = Encoder(["s1-u000", "s1-u001"], spec | {"size": 16, "channels": 1, "mean": [0.5], "std": [0.2]})
        >>> encoder(torch.rand(4, 3, 20, 20)).shape
        torch.Size([4, 2])
        >>> encoder.paired(torch.rand(4, 3, 20, 20), encoder.index(["s1-u001"] * 4)).shape
        torch.Size([4])
    """

    arch: str
    member: str
    role: str
    trained_as: str
    core: Core
    readout: Readout

    def __init__(self, units: Sequence[str], spec: Mapping[str, Any]) -> None:
        super().__init__()
        self.units, self.spec = list(units), dict(spec)
        self.preprocess = Preprocess(spec["size"], spec["channels"], spec["mean"], spec["std"])
        self.stimulus_spec = Preprocess(**spec["stimulus_spec"]) if "stimulus_spec" in spec else self.preprocess
        self.core = make_core(in_channels=spec["channels"], **spec["core"])
        self.readout = make_readout(shape=self._feature_shape(), n_units=len(self.units), **spec["readout"])
        self.output = OUTPUTS[spec["output"]]

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) to images (B, C, y, x) in [0, 1], of all units or those of the index tensor ``units``."""
        return self.respond(self.features(images), units)

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each image (B, C, y, x), given the units' indices (B,)."""
        return self.respond_paired(self.features(images), units)

    def features(self, images: Tensor, frozen: dict[int, Tensor] | None = None) -> Tensor:
        """The core's feature map (B, channels, h, w) for images (B, C, y, x) in [0, 1].

        Args:
            images: the images.
            frozen: cache of the outputs of frozen networks for these images, by the network's id, so that encoders with
                the same frozen network compute it once.
        """
        return self.maps(self.inputs(images, frozen))

    def inputs(self, images: Tensor, frozen: dict[int, Tensor] | None = None) -> Tensor:
        """Input (B, ...) of the trained part of the core for images (B, C, y, x); see :meth:`features`."""
        inputs: Tensor = self.preprocess(images)
        if not isinstance(self.core, TaskDrivenCore):
            return inputs
        frozen = {} if frozen is None else frozen
        key = id(self.core.backbone)
        if key not in frozen:
            frozen[key] = self.core.backbone(inputs)
        return frozen[key]

    def maps(self, inputs: Tensor) -> Tensor:
        """The core's feature map (B, channels, h, w) for the input of its trained part."""
        if isinstance(self.core, TaskDrivenCore):
            return self.core.on_frozen(inputs)
        features: Tensor = self.core(inputs)
        return features

    def respond(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) for the core's feature map (B, channels, h, w)."""
        return self.output(self.readout(features, units).float())

    def respond_paired(self, features: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit each for the core's feature map (B, channels, h, w)."""
        return self.output(self.readout.paired(features, units).float())

    def index(self, units: Sequence[str]) -> Tensor:
        """Index tensor (U,) of unit ids.

        Raises:
            V4eggError: the encoder has no such unit.
        """
        position = {unit: i for i, unit in enumerate(self.units)}
        missing = [unit for unit in units if unit not in position]
        if missing:
            raise V4eggError(f"the encoder has no unit {missing[0]}; it has {self.units[0]} to {self.units[-1]}")
        return torch.tensor([position[unit] for unit in units])

    def weights(self) -> dict[str, Tensor]:
        """The state dict to store."""
        return self.state_dict()

    def _feature_shape(self) -> tuple[int, int, int]:
        training = self.core.training
        blank = torch.zeros(1, self.spec["channels"], self.spec["size"], self.spec["size"])
        with torch.no_grad():
            channels, height, width = self.core.eval()(blank).shape[1:]
        self.core.train(training)
        return channels, height, width

    def save(
        self,
        path: str | Path,
        *,
        arch: str,
        member: str,
        role: str,
        trained_as: str | None = None,
        curves: Mapping[str, Sequence[float]] | None = None,
        **provenance: Any,
    ) -> None:
        """Write weights and specification to a store of kind ``weights``.

        Args:
            path: the store.
            arch: name of the architecture.
            member: name of the member, such as ``m0``.
            role: generator or validator.
            trained_as: the architecture that the weights were trained as, where it differs from ``arch``.
            curves: training curves by name.
            provenance: passed on to :func:`v4egg.io.stores.save_weights`.
        """
        attrs = {"units": self.units, "spec": json.dumps(self.spec), "arch": arch, "member": member, "role": role}
        attrs["trained_as"] = trained_as or arch
        stores.save_weights(self.weights(), path, curves=curves, attrs=attrs, **provenance)


class GroupedEncoder(nn.Module):
    """One encoder per core group of sessions, such as one per monkey, with the interface of :class:`Encoder`.

    Only the encoders of the requested units are evaluated.

    Args:
        units: unit ids, one per output.
        spec: that of :class:`Encoder`, shared by all parts, and ``core_groups``: the unit ids of each core group.
        parts: the encoders of the core groups; None for untrained ones.

    Attributes:
        parts: the encoders of the core groups; they share a frozen network.

    Raises:
        V4eggError: the core groups do not contain exactly the units.

    Example:
        >>> spec = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "gaussian"}, "output": "identity"}
        >>> spec |= {"size": 16, "channels": 1, "mean": [0.5], "std": [0.2]}
        >>> spec |= {"core_groups": {"one monkey": ["s1-u000"], "another": ["s2-u000", "s2-u001"]}}
        >>> encoder = GroupedEncoder(["s1-u000", "s2-u000", "s2-u001"], spec)
        >>> encoder(torch.rand(4, 1, 16, 16)).shape, len(encoder.parts)
        (torch.Size([4, 3]), 2)
    """

    arch: str
    member: str
    role: str
    trained_as: str
    parts: Sequence[Encoder]
    part_index: Tensor
    unit_index: Tensor

    def __init__(self, units: Sequence[str], spec: Mapping[str, Any], parts: Sequence[Encoder] | None = None) -> None:
        super().__init__()
        self.units, self.spec = list(units), dict(spec)
        shared = {key: value for key, value in spec.items() if key != "core_groups"}
        parts = parts or [Encoder(members, shared) for members in spec["core_groups"].values()]
        self.parts = nn.ModuleList(parts)  # type: ignore[assignment]  # a ModuleList has no element type
        places = {unit: (g, i) for g, part in enumerate(self.parts) for i, unit in enumerate(part.units)}
        if sorted(places) != sorted(self.units):
            raise V4eggError("the core groups of a grouped encoder do not hold its units; train it again")
        self.register_buffer("part_index", torch.tensor([places[unit][0] for unit in self.units]), persistent=False)
        self.register_buffer("unit_index", torch.tensor([places[unit][1] for unit in self.units]), persistent=False)
        self._share_backbone()

    @classmethod
    def of(cls, units: Sequence[str], encoders: Mapping[str, Encoder]) -> "GroupedEncoder":
        """Trained encoders, by name of their core group, as one encoder with its units in the given order."""
        parts = list(encoders.values())
        return cls(
            units, {**parts[0].spec, "core_groups": {name: part.units for name, part in encoders.items()}}, parts
        )

    @property
    def stimulus_spec(self) -> Preprocess:
        """Size, colour and scale of the images that are synthesized for the encoder."""
        return self.parts[0].stimulus_spec

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U), see :meth:`Encoder.forward`."""
        return self.respond(self.features(images), units)

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each image, see :meth:`Encoder.paired`."""
        return self.respond_paired(self.features(images), units)

    def index(self, units: Sequence[str]) -> Tensor:
        """Index tensor (U,) of unit ids, see :meth:`Encoder.index`."""
        return Encoder.index(self, units)  # type: ignore[arg-type]  # reads the units alone

    def save(self, path: str | Path, **options: Any) -> None:
        """Write weights and specification to a store, see :meth:`Encoder.save`."""
        Encoder.save(self, path, **options)  # type: ignore[arg-type]  # reads units, spec and weights alone

    def features(self, images: Tensor, frozen: dict[int, Tensor] | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """The images and the cache of frozen networks: which parts to evaluate depends on the units."""
        return images, {} if frozen is None else frozen

    def respond(self, features: tuple[Tensor, dict[int, Tensor]], units: Tensor | None = None) -> Tensor:
        """Responses (B, U) for the result of :meth:`features`."""
        units = torch.arange(len(self.units), device=self.part_index.device) if units is None else units
        columns = self._by_part(units)
        responses = [
            self.parts[g].respond(self.parts[g].features(*features), self.unit_index[units[members]])
            for g, members in columns.items()
        ]
        return torch.cat(responses, 1)[:, torch.cat(list(columns.values())).argsort()]

    def respond_paired(self, features: tuple[Tensor, dict[int, Tensor]], units: Tensor) -> Tensor:
        """Responses (B,) of one unit each for the result of :meth:`features`."""
        rows = self._by_part(units)
        responses = []
        for g, members in rows.items():
            part = self.parts[g]
            maps = part.maps(part.inputs(*features)[members])
            responses.append(part.respond_paired(maps, self.unit_index[units[members]]))
        return torch.cat(responses)[torch.cat(list(rows.values())).argsort()]

    def weights(self) -> dict[str, Tensor]:
        """The state dict to store, with a shared frozen network once."""
        state = self.state_dict()
        copies = tuple(f"parts.{g}.core.backbone." for g in range(1, len(self.parts)))
        return {key: value for key, value in state.items() if not key.startswith(copies)}

    def load_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **options: Any) -> Any:
        """Load a state dict, also one of :meth:`weights`."""
        whole, first = dict(state_dict), "parts.0.core.backbone."
        for key in [key for key in state_dict if key.startswith(first)]:
            for g in range(1, len(self.parts)):
                whole.setdefault(key.replace(first, f"parts.{g}.core.backbone."), state_dict[key])
        return super().load_state_dict(whole, *args, **options)

    def _by_part(self, units: Tensor) -> dict[int, Tensor]:
        """For each part with any of the units, the positions of its units among these."""
        parts = self.part_index[units]
        return {int(g): (parts == g).nonzero().squeeze(1) for g in parts.unique()}

    def _share_backbone(self) -> None:
        for part in self.parts[1:]:
            if isinstance(part.core, TaskDrivenCore) and isinstance(self.parts[0].core, TaskDrivenCore):
                part.core.backbone = self.parts[0].core.backbone


def make_encoder(units: Sequence[str], spec: Mapping[str, Any]) -> Encoder | GroupedEncoder:
    """The untrained encoder of a specification, see :class:`Encoder` and :class:`GroupedEncoder`."""
    return (GroupedEncoder if "core_groups" in spec else Encoder)(units, spec)


def load_member(path: str | Path) -> Encoder | GroupedEncoder:
    """Load one trained member, frozen and in evaluation mode.

    Args:
        path: a store ``encoders/<arch>/<member>.zarr``.

    Returns:
        The encoder, with attributes ``arch``, ``member``, ``role`` and ``trained_as``.

    Raises:
        V4eggError: the store is not that of an encoder, or its weights are of another version.

    Example:
        >>> import tempfile
        >>> spec = {"core": {"name": "residual", "channels": 8}, "readout": {"name": "gaussian"}, "output": "identity"}
        >>> spec |= {"size": 16, "channels": 1, "mean": [0.5], "std": [0.2]}
        >>> path = Path(tempfile.mkdtemp()) / "m0.zarr"
        >>> Encoder(["s1-u000"], spec).save(path, arch="small", member="m0", role="generator")
        >>> load_member(path).units, load_member(path).role
        (['s1-u000'], 'generator')
    """
    state, attrs = stores.load_weights(path)
    if "spec" not in attrs or "units" not in attrs:
        raise V4eggError(
            f"{path}: the weights are not those of an encoder; give a store of encoders/<arch>/<member>.zarr"
        )
    encoder = make_encoder(attrs["units"], json.loads(attrs["spec"]))
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise V4eggError(
            f"{path}: weights of another version ({reason}); delete the store and run its rule again"
        ) from None
    encoder.arch, encoder.member, encoder.role = attrs["arch"], attrs["member"], attrs["role"]
    encoder.trained_as = attrs.get("trained_as", encoder.arch)
    return encoder.eval().requires_grad_(False)
