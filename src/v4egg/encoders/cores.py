"""Cores: from z-scored images (B, C, y, x) to a feature map (B, channels, h, w) shared by all units.

Every core has ``penalty()``, a scalar that the training adds to its loss: ``smoothness`` times the roughness of the
kernels that look at pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from v4egg.encoders.backbones import completed, make_backbone
from v4egg.encoders.registry import CORES
from v4egg.errors import V4eggError
from v4egg.registry import Choice, Options, options_of


def roughness(maps: Tensor) -> Tensor:
    """Laplace-L2 roughness of maps (n, c, h, w): the mean over n of ||Laplacian(map)||^2 / ||map||^2, between 0 and 64.

    The Laplacian (the four neighbours minus four times the pixel) goes through each channel by itself; edges repeat, so
    constant maps have none. It is relative to each map's squared norm: batch normalisation after a kernel, and feature
    weights after a mask, undo any scale, which a plain penalty would shrink without making anything smoother.
    """
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    rows, columns = padded[:, :, :, 1:-1], padded[:, :, 1:-1]
    laplacian = rows[:, :, :-2] + rows[:, :, 2:] + columns[..., :-2] + columns[..., 2:] - 4 * maps
    norm = maps.square().sum((1, 2, 3)).clamp_min(1e-12)  # a map of zeros is smooth
    return (laplacian.square().sum((1, 2, 3)) / norm).mean()


class Core(nn.Module, ABC):
    """Base of cores: z-scored images (B, C, y, x) -> feature map (B, channels, h, w).

    Attributes:
        channels: of the trained part of the feature map.
    """

    channels: int

    @abstractmethod
    def penalty(self) -> Tensor:
        """Scalar that training adds to its loss."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the features also pass unchanged (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, channels, h, w) of the same shape."""
        return self.activation(features + self.body(features))


class ResidualCore(nn.Sequential, Core):
    """A data-driven convolutional core that is fast on a CPU: two reductions of the image, then residual blocks.

    A 56 px image becomes a 14 x 14 map, and so does one of 112 px with ``patch_size`` 4, for little more time. Three
    choices are for speed in bf16 on a CPU: the first reduction folds blocks of ``patch_size`` x ``patch_size`` pixels
    into channels (a strided convolution of 3 channels is slow), convolutions are ordinary (depthwise ones gain
    nothing), and units
    rectify (an exponential costs more than the convolution before it).
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 64,
        blocks: int = 2,
        first_kernel: int = 5,
        patch_size: int = 2,
        smoothness: float = 0.0,
    ) -> None:
        super().__init__(
            nn.PixelUnshuffle(patch_size),
            nn.Conv2d(patch_size**2 * in_channels, channels, first_kernel, padding=first_kernel // 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            *(ResidualBlock(channels) for _ in range(blocks)),
        )
        self.channels, self.patch_size, self.smoothness = channels, patch_size, smoothness

    def pixel_kernels(self) -> Tensor:
        """The first kernels on the image's pixel grid, (channels, in_channels, patch_size k, patch_size k)."""
        return F.pixel_shuffle(self.get_parameter("1.weight"), self.patch_size)

    def penalty(self) -> Tensor:
        """Roughness of the first kernels in pixels."""
        return _smoothness_penalty(self.smoothness, self.pixel_kernels())


class DepthSeparableCore(nn.Sequential, Core):
    """The data-driven core of Pierzchlewicz et al. 2023: one wide convolution, then depth-separable layers.

    The first convolution is unpadded; each layer after it is 1x1, depthwise ``kernel`` x ``kernel`` with padding, 1x1.
    Batch normalisation and ELU follow the first convolution and every layer. A 100 px image becomes a 92 x 92 map; a
    ``first_stride`` of 2 or more makes that smaller, and the core cheaper by the stride's square.

    Raises:
        V4eggError: ``kernel`` is even, or an image is smaller than ``first_kernel``.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: int = 96,
        layers: int = 4,
        first_kernel: int = 9,
        kernel: int = 5,
        first_stride: int = 1,
        smoothness: float = 0.0,
    ) -> None:
        if kernel % 2 == 0:
            raise V4eggError(f"encoders: core 'depth_separable': kernel is {kernel}; use an odd number of pixels")
        super().__init__(
            nn.Conv2d(in_channels, channels, first_kernel, first_stride, bias=False),
            *_normalised(channels),
            *(module for _ in range(layers) for module in _depth_separable(channels, kernel)),
        )
        self.channels, self.first_kernel, self.smoothness = channels, first_kernel, smoothness

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of z-scored images (B, C, y, x).

        Raises:
            V4eggError: an image is smaller than the first kernels.
        """
        size = min(images.shape[-2:])
        if size < self.first_kernel:
            raise V4eggError(
                f"encoders: core 'depth_separable': first_kernel {self.first_kernel} does not fit images of {size} px; "
                "lower it or raise images.size"
            )
        return super().forward(images)

    def penalty(self) -> Tensor:
        """Roughness of the first kernels."""
        return _smoothness_penalty(self.smoothness, self.get_parameter("0.weight"))


def _depth_separable(channels: int, kernel: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        *_normalised(channels),
    ]


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ELU()]


def _smoothness_penalty(weight: float, kernels: Tensor) -> Tensor:
    return weight * roughness(kernels) if weight else kernels.new_zeros(())


class TaskDrivenCore(Core):
    """A frozen network trained elsewhere, and a head that is trained on its features.

    The features are normalised by channel, then pass 1x1 and residual 3x3 convolutions.

    Args:
        in_channels: of the images.
        backbone: name and options of the frozen network, see :data:`v4egg.encoders.backbones.BACKBONES`.
        channels: of the head, and of the feature map that it gives.
        blocks: residual blocks of the head.
        dropout: share of the frozen channels left out of each training image.
        concat_backbone: whether the frozen network's own channels follow those of the head in the feature map.
    """

    def __init__(
        self,
        in_channels: int,
        backbone: Mapping[str, Any],
        channels: int = 96,
        blocks: int = 2,
        dropout: float = 0.0,
        concat_backbone: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = make_backbone(**backbone)
        self.head = nn.Sequential(
            nn.LazyBatchNorm2d(),
            nn.Dropout2d(dropout),
            nn.LazyConv2d(channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            *(ResidualBlock(channels) for _ in range(blocks)),
        )
        self.channels, self.concat_backbone = channels, concat_backbone

    def load_pretrained(self, prior: str | Path | None = None) -> None:
        """Fetch the frozen network's weights."""
        self.backbone.load_pretrained(prior)

    def forward(self, images: Tensor) -> Tensor:
        """Feature map (B, channels, grid, grid) of z-scored images (B, C, y, x); differentiable in the images."""
        return self.on_frozen(self.backbone(images))

    def on_frozen(self, features: Tensor) -> Tensor:
        """Feature map for the output of the frozen network (B, feature, grid, grid)."""
        maps: Tensor = self.head(features)
        return torch.cat([maps, features.to(maps.dtype)], 1) if self.concat_backbone else maps

    def penalty(self) -> Tensor:
        """Zero: the head has no kernels on pixels."""
        return self.head.get_parameter("2.weight").new_zeros(())

    def train(self, mode: bool = True) -> "TaskDrivenCore":
        """Set the mode of the head; the frozen network, its batch normalization included, stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self


class CoreOptions(Options):
    """Base of the options of cores."""

    @abstractmethod
    def build(self, in_channels: int) -> Core:
        """The untrained core for images with that many channels."""


class ResidualOptions(CoreOptions):
    """Two reductions of the image, then residual blocks; fast on a CPU."""

    channels: int = Field(64, ge=1, description="Channels of the feature map.")
    blocks: int = Field(2, ge=0, description="Residual blocks.")
    first_kernel: int = Field(5, ge=1, description="Side of the first kernels, in blocks of patch_size pixels.")
    patch_size: int = Field(2, ge=1, description="Side of the blocks of pixels that become channels.")
    smoothness: float = Field(
        0.0, ge=0, description="Weight of the Laplace-L2 roughness of the first kernels, relative to their norm."
    )

    def build(self, in_channels: int) -> ResidualCore:
        """The untrained core for images with that many channels."""
        return ResidualCore(in_channels, **self.model_dump())


class DepthSeparableOptions(CoreOptions):
    """One wide convolution, then depth-separable layers (Pierzchlewicz et al. 2023)."""

    channels: int = Field(96, ge=1, description="Channels of the feature map.")
    layers: int = Field(4, ge=0, description="Depth-separable layers.")
    first_kernel: int = Field(9, ge=1, description="Side of the first kernels in pixels.")
    kernel: int = Field(
        5, ge=1, description="Side of the depthwise kernels, odd.", json_schema_extra={"not": {"multipleOf": 2}}
    )
    first_stride: int = Field(1, ge=1, description="Stride of the first convolution.")
    smoothness: float = Field(
        0.0, ge=0, description="Weight of the Laplace-L2 roughness of the first kernels, relative to their norm."
    )

    def build(self, in_channels: int) -> DepthSeparableCore:
        """The untrained core for images with that many channels."""
        return DepthSeparableCore(in_channels, **self.model_dump())


class TaskDrivenOptions(CoreOptions):
    """A frozen network trained elsewhere, and a head that is trained on its features."""

    backbone: Annotated[dict[str, Any], Choice("v4egg.encoders.registry:BACKBONES", "backbone")] = Field(
        description="The frozen network."
    )
    channels: int = Field(96, ge=1, description="Channels of the head.")
    blocks: int = Field(2, ge=0, description="Residual blocks of the head.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the frozen channels left out of a training image.")
    concat_backbone: bool = Field(
        False, description="Whether the channels of the frozen network follow those of the head in the feature map."
    )

    def build(self, in_channels: int) -> TaskDrivenCore:
        """The core for images with that many channels, its frozen network still without weights."""
        return TaskDrivenCore(in_channels, **self.model_dump())


def make_core(name: str, in_channels: int, **options: Any) -> Core:
    """The core of that name, untrained.

    Args:
        name: a name of :data:`v4egg.encoders.registry.CORES`.
        in_channels: channels of the images.
        options: of the core.

    Raises:
        V4eggError: no core has that name, or an option is unknown or impossible.

    Example:
        >>> make_core("residual", 3, channels=8)(torch.zeros(1, 3, 16, 16)).shape
        torch.Size([1, 8, 4, 4])
    """
    core: Core = options_of(CORES, name, options, "core").build(in_channels)
    return core


def completed_core(core: Mapping[str, Any], prior: str | Path | None) -> dict[str, Any]:
    """A core's options with those that depend on the prior, see :func:`v4egg.encoders.backbones.completed`."""
    return {**core, "backbone": completed(core["backbone"], prior)} if "backbone" in core else dict(core)


def input_spec(core: Mapping[str, Any], size: int, stimulus_spec: Mapping[str, Any]) -> dict[str, Any]:
    """Size, channels, mean and std of a core's input: those of its frozen network, or of the synthesized images."""
    if "backbone" not in core:
        return {**stimulus_spec, "size": size}
    mean, std = make_backbone(**core["backbone"]).statistics
    return {"size": size, "channels": len(mean), "mean": list(mean), "std": list(std)}
