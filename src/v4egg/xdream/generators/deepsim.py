"""DeePSiM's generator of fc6 codes, with weights that the user provides.

Dosovitskiy & Brox, "Generating images with perceptual similarity metrics based on deep networks", NIPS 2016.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io.weights import read_weights
from v4egg.registry import PathText
from v4egg.xdream.generators.generator import GeneratorOptions, ImageGenerator

SIZE, IMAGE = 4096, 256
BGR_MEAN = (104.0, 117.0, 123.0)  # subtracted from the images that the network was trained on
_START = (256, 4, 4)
# name in Caffe and in Wang & Ponce's files, name in XDream's files
_LINEAR = (("defc7", "fc7"), ("defc6", "fc6"), ("defc5", "fc5"))
# the same, then channels in, channels out, kernel, stride, padding
_TRANSPOSED = (
    ("deconv5", "tconv5_0", 256, 256, 4, 2, 1),
    ("conv5_1", "tconv5_1", 256, 512, 3, 1, 1),
    ("deconv4", "tconv4_0", 512, 256, 4, 2, 1),
    ("conv4_1", "tconv4_1", 256, 256, 3, 1, 1),
    ("deconv3", "tconv3_0", 256, 128, 4, 2, 1),
    ("conv3_1", "tconv3_1", 128, 128, 3, 1, 1),
    ("deconv2", "tconv2", 128, 64, 4, 2, 1),
    ("deconv1", "tconv1", 64, 32, 4, 2, 1),
    ("deconv0", "tconv0", 32, 3, 4, 2, 1),
)


class DeepSim(ImageGenerator):
    """Codes (B, 4096) in the space of fc6 activations -> RGB images (B, 3, 256, 256).

    The zero code gives the mean image. Codes are not normalized: typical L2 norms are near 300, and the published
    settings of the optimizers apply.
    """

    mean: Tensor
    size, shape = SIZE, (3, IMAGE, IMAGE)

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.ModuleDict({name: nn.Linear(SIZE, SIZE) for name, _ in _LINEAR})
        self.transposed = nn.ModuleDict(
            {name: nn.ConvTranspose2d(i, o, kernel, stride, pad) for name, _, i, o, kernel, stride, pad in _TRANSPOSED}
        )
        self.register_buffer("mean", torch.tensor(BGR_MEAN).view(3, 1, 1), persistent=False)

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, 3, 256, 256) of codes (B, 4096)."""
        features = codes
        for layer in self.linear.values():
            features = nn.functional.leaky_relu(layer(features), 0.3)
        features = features.unflatten(1, _START)
        *inner, last = self.transposed.values()
        for layer in inner:
            features = nn.functional.leaky_relu(layer(features), 0.3)
        return ((last(features) + self.mean) / 255).flip(1)  # BGR to RGB


def load_deepsim(path: str | Path, device: str = "cpu") -> DeepSim:
    """Load DeePSiM's generator, frozen.

    Args:
        path: file of weights (.pt, .pth, .safetensors). Layers may have Caffe's names (``defc7.weight``), these with an
            index (``defc7.1.weight``), or XDream's (``fc7.weight``, ``tconv5_0.weight``); missing biases of transposed
            convolutions are 0.
        device: where the generator computes.

    Raises:
        V4eggError: a tensor is missing or has another shape, or a tensor that is not all 0 is not used.
    """
    state = {_plain(name): tensor for name, tensor in _tensors(read_weights(path)).items()}
    generator = DeepSim()
    weights = {}
    for key, tensor in generator.state_dict().items():
        group, layer, kind = key.split(".")
        names = [f"{name}.{kind}" for name in _names(layer)]
        stored = next((name for name in names if name in state), None)
        if stored is None and group == "transposed" and kind == "bias":
            weights[key] = torch.zeros_like(tensor)
            continue
        if stored is None:
            raise V4eggError(f"{path}: tensor {' or '.join(names)} is missing; give weights of DeePSiM's fc6 generator")
        weights[key] = state.pop(stored).float()
        if weights[key].shape != tensor.shape:
            raise V4eggError(
                f"{path}: tensor {stored} has shape {tuple(weights[key].shape)}, expected {tuple(tensor.shape)}; "
                "give weights of DeePSiM's fc6 generator"
            )
    dropped = sorted(name for name, tensor in state.items() if (tensor != 0).any())
    if dropped:
        raise V4eggError(f"{path}: tensor {dropped[0]} is not 0 and would be dropped; give weights of fc6 codes")
    generator.load_state_dict(weights)
    return generator.to(device).eval().requires_grad_(False)


def _names(layer: str) -> tuple[str, str]:
    return next((row[0], row[1]) for row in (*_LINEAR, *_TRANSPOSED) if row[0] == layer)


def _plain(name: str) -> str:
    """A tensor's name without the prefix of a wrapper and without an index before the last part."""
    parts = [part for part in name.removeprefix("module.").split(".") if not part.isdigit()]
    return ".".join(parts[-2:])


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, which may lie in an inner mapping."""
    inner = [value for value in state.values() if isinstance(value, Mapping)]
    tensors = state if not inner else max(inner, key=len)
    return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}


class DeepSimOptions(GeneratorOptions):
    """DeePSiM's generator of fc6 codes, with weights of your own."""

    weights: PathText = Field(
        description="File of DeePSiM fc6 weights (.pt, .pth, .safetensors).", json_schema_extra={"x-exists": "file"}
    )

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> DeepSim:
        """The generator with the weights of the file."""
        return load_deepsim(self.weights, device)
