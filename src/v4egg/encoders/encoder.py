"""The encoding model: preprocess -> core -> readout -> output nonlinearity, for the units of many sessions.

One core serves all sessions (:class:`Encoder`), or each group of them has its own (:class:`GroupedEncoder`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.encoders.cores import make_core
from v4egg.encoders.readouts import make_readout
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io import stores

OUTPUTS = {
    "identity": lambda y: y,  # z-scored responses (mean squared error)
    "elu+1": lambda y: F.elu(y) + 1,  # expected counts (Poisson loss)
}


class Encoder(nn.Module):
    """Predicts the responses of ``units`` to images.

    Attributes:
        units: unit ids, one for each output.
        spec: everything that rebuilds the module: core, readout, output; size, channels, mean and std of what its
            network sees; and canvas, the same four of the images that are made for it, where they differ.
        preprocess: from images to what the network sees.
        stimulus_spec: size, colour and scale of the images that are made for the encoder.
    """

    def __init__(self, units: Sequence[str], spec: Mapping[str, Any]):
        super().__init__()
        self.units, self.spec = list(units), dict(spec)
        self.preprocess = Preprocess(spec["size"], spec["channels"], spec["mean"], spec["std"])
        self.stimulus_spec = Preprocess(**spec["stimulus_spec"]) if "stimulus_spec" in spec else self.preprocess
        self.core = make_core(in_channels=spec["channels"], **spec["core"])
        self.readout = make_readout(shape=self._feature_shape(), n_units=len(self.units), **spec["readout"])
        self.output = OUTPUTS[spec["output"]]

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> responses (B, U), for all units or those of the index tensor ``units``."""
        return self.respond(self.features(images), units)

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Images (B, C, y, x) and one unit index each (B,) -> the response of that unit to that image (B,)."""
        return self.respond_paired(self.features(images), units)

    def features(self, images: Tensor, frozen: dict[int, Tensor] | None = None) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> the core's feature map (B, channels, h, w).

        ``frozen`` keeps what frozen networks gave for these images, by the network's id, for others that share it.
        """
        return self.maps(self.inputs(images, frozen))

    def inputs(self, images: Tensor, frozen: dict[int, Tensor] | None = None) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> what the trained part of the core sees (B, ...): see :meth:`features`."""
        inputs = self.preprocess(images)
        if not hasattr(self.core, "backbone"):
            return inputs
        frozen = {} if frozen is None else frozen
        key = id(self.core.backbone)
        if key not in frozen:
            frozen[key] = self.core.backbone(inputs)
        return frozen[key]

    def maps(self, inputs: Tensor) -> Tensor:
        """What the trained part of the core sees -> the core's feature map (B, channels, h, w)."""
        return (self.core.on_frozen if hasattr(self.core, "backbone") else self.core)(inputs)

    def respond(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """The core's feature map (B, channels, h, w) -> responses (B, U)."""
        return self.output(self.readout(features, units).float())

    def respond_paired(self, features: Tensor, units: Tensor) -> Tensor:
        """The core's feature map (B, channels, h, w) and one unit index each -> responses (B,)."""
        return self.output(self.readout.paired(features, units).float())

    def index(self, units: Sequence[str]) -> Tensor:
        """Unit ids -> index tensor.

        Raises:
            V4eggError: the encoder has no such unit.
        """
        place = {unit: i for i, unit in enumerate(self.units)}
        missing = [unit for unit in units if unit not in place]
        if missing:
            raise V4eggError(f"the encoder has no unit {missing[0]}; it has {self.units[0]} to {self.units[-1]}")
        return torch.tensor([place[unit] for unit in units])

    def weights(self) -> dict[str, Tensor]:
        """The state to keep."""
        return self.state_dict()

    def _feature_shape(self) -> tuple[int, int, int]:
        training = self.core.training
        blank = torch.zeros(1, self.spec["channels"], self.spec["size"], self.spec["size"])
        with torch.no_grad():
            shape = tuple(self.core.eval()(blank).shape[1:])
        self.core.train(training)
        return shape

    def save(
        self, path, *, arch: str, member: str, role: str, trained_as: str | None = None, curves=None, **provenance
    ) -> None:
        """Write weights and specification to a store of kind ``weights``.

        ``role`` is generator or validator; ``trained_as`` is the architecture that the weights were trained as, where
        it differs from ``arch``.
        """
        attrs = {"units": self.units, "spec": json.dumps(self.spec), "arch": arch, "member": member, "role": role}
        attrs["trained_as"] = trained_as or arch
        stores.save_weights(self.weights(), path, curves=curves, attrs=attrs, **provenance)


class GroupedEncoder(nn.Module):
    """Encoders of groups of sessions, such as one for each monkey, behind the interface of one :class:`Encoder`.

    Images are seen only by the encoders of units that are asked for.

    Attributes:
        parts: the groups' encoders; a frozen network is one for all.
        spec: that of each part, which they share, and ``core_groups``: the units of each.
    """

    def __init__(self, units: Sequence[str], spec: Mapping[str, Any], parts: Sequence[Encoder] | None = None):
        super().__init__()
        self.units, self.spec = list(units), dict(spec)
        own = {key: value for key, value in spec.items() if key != "core_groups"}
        self.parts = nn.ModuleList(parts or [Encoder(members, own) for members in spec["core_groups"].values()])
        places = {unit: (g, i) for g, part in enumerate(self.parts) for i, unit in enumerate(part.units)}
        if sorted(places) != sorted(self.units):
            raise V4eggError("the core groups of a grouped encoder do not hold its units; train it again")
        self.register_buffer("group", torch.tensor([places[unit][0] for unit in self.units]), persistent=False)
        self.register_buffer("place", torch.tensor([places[unit][1] for unit in self.units]), persistent=False)
        self._share_backbone()

    @classmethod
    def of(cls, units: Sequence[str], encoders: Mapping[str, Encoder]) -> "GroupedEncoder":
        """Trained encoders, by name of their group, as one, its units in this order."""
        parts = list(encoders.values())
        return cls(
            units, {**parts[0].spec, "core_groups": {name: part.units for name, part in encoders.items()}}, parts
        )

    @property
    def stimulus_spec(self) -> Preprocess:
        """Size, colour and scale of the images that are made for the encoder."""
        return self.parts[0].stimulus_spec

    forward = Encoder.forward
    paired = Encoder.paired
    index = Encoder.index
    save = Encoder.save

    def features(self, images: Tensor, frozen: dict[int, Tensor] | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """Images, and what frozen networks gave for them: nothing is computed before units are known."""
        return images, {} if frozen is None else frozen

    def respond(self, features: tuple[Tensor, dict[int, Tensor]], units: Tensor | None = None) -> Tensor:
        """What :meth:`features` gave -> responses (B, U)."""
        units = torch.arange(len(self.units), device=self.group.device) if units is None else units
        columns = self._by_group(units)
        found = [
            self.parts[g].respond(self.parts[g].features(*features), self.place[units[own]])
            for g, own in columns.items()
        ]
        return torch.cat(found, 1)[:, torch.cat(list(columns.values())).argsort()]

    def respond_paired(self, features: tuple[Tensor, dict[int, Tensor]], units: Tensor) -> Tensor:
        """What :meth:`features` gave and one unit index each -> responses (B,)."""
        rows = self._by_group(units)
        found = []
        for g, own in rows.items():
            part = self.parts[g]
            maps = part.maps(part.inputs(*features)[own])
            found.append(part.respond_paired(maps, self.place[units[own]]))
        return torch.cat(found)[torch.cat(list(rows.values())).argsort()]

    def weights(self) -> dict[str, Tensor]:
        """The state to keep: that of a frozen network once."""
        state = self.state_dict()
        again = tuple(f"parts.{g}.core.backbone." for g in range(1, len(self.parts)))
        return {key: value for key, value in state.items() if not key.startswith(again)}

    def load_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **options: Any) -> Any:
        """Load a state, also one from :meth:`weights`."""
        whole, first = dict(state_dict), "parts.0.core.backbone."
        for key in [key for key in state_dict if key.startswith(first)]:
            for g in range(1, len(self.parts)):
                whole.setdefault(key.replace(first, f"parts.{g}.core.backbone."), state_dict[key])
        return super().load_state_dict(whole, *args, **options)

    def _by_group(self, units: Tensor) -> dict[int, Tensor]:
        """Of groups that have any of the units, the places of theirs among these."""
        groups = self.group[units]
        return {int(g): (groups == g).nonzero().squeeze(1) for g in groups.unique()}

    def _share_backbone(self) -> None:
        for part in self.parts[1:]:
            if hasattr(part.core, "backbone"):
                part.core.backbone = self.parts[0].core.backbone


def make_encoder(units: Sequence[str], spec: Mapping[str, Any]) -> Encoder | GroupedEncoder:
    """The untrained encoder of a specification."""
    return (GroupedEncoder if "core_groups" in spec else Encoder)(units, spec)


def load_member(path: str | Path) -> Encoder | GroupedEncoder:
    """One trained member, frozen and in evaluation mode; arch, member, role and trained_as are attributes of it."""
    state, attrs = stores.load_weights(path)
    if "spec" not in attrs or "units" not in attrs:
        raise V4eggError(f"{path}: these weights are not an encoder's; give a store of encoders/<arch>/<member>.zarr")
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
