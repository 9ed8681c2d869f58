"""The encoding model: preprocess -> core -> readout -> output nonlinearity, for the units of many sessions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg import stores
from v4egg.encoders.cores import make_core
from v4egg.encoders.readouts import make_readout
from v4egg.errors import V4eggError
from v4egg.stimuli import Preprocess

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
        canvas: size, colour and scale of the images that are made for the encoder.
    """

    def __init__(self, units: Sequence[str], spec: Mapping[str, Any]):
        super().__init__()
        self.units, self.spec = list(units), dict(spec)
        self.preprocess = Preprocess(spec["size"], spec["channels"], spec["mean"], spec["std"])
        self.canvas = Preprocess(**spec["canvas"]) if "canvas" in spec else self.preprocess
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
        inputs = self.preprocess(images)
        if not hasattr(self.core, "backbone"):
            return self.core(inputs)
        frozen = {} if frozen is None else frozen
        key = id(self.core.backbone)
        if key not in frozen:
            frozen[key] = self.core.backbone(inputs)
        return self.core.head(frozen[key])

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

    def _feature_shape(self) -> tuple[int, int, int]:
        training = self.core.training
        blank = torch.zeros(1, self.spec["channels"], self.spec["size"], self.spec["size"])
        with torch.no_grad():
            shape = tuple(self.core.eval()(blank).shape[1:])
        self.core.train(training)
        return shape

    def save(self, path, *, arch: str, member: str, role: str, curves=None, **provenance) -> None:
        """Write weights and specification to a store of kind ``weights``; ``role`` is generator or validator."""
        attrs = {"units": self.units, "spec": json.dumps(self.spec), "arch": arch, "member": member, "role": role}
        stores.save_weights(self.state_dict(), path, curves=curves, attrs=attrs, **provenance)


def load_member(path: str | Path) -> Encoder:
    """One trained member, frozen and in evaluation mode, with ``arch``, ``member`` and ``role`` as attributes."""
    state, attrs = stores.load_weights(path)
    if "spec" not in attrs or "units" not in attrs:
        raise V4eggError(f"{path}: these weights are not an encoder's; give a store of encoders/<arch>/<member>.zarr")
    encoder = Encoder(attrs["units"], json.loads(attrs["spec"]))
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise V4eggError(
            f"{path}: weights of another version ({reason}); delete the store and run its rule again"
        ) from None
    encoder.arch, encoder.member, encoder.role = attrs["arch"], attrs["member"], attrs["role"]
    return encoder.eval().requires_grad_(False)
