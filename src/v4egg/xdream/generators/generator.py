"""The interface of image generators: maps from codes to images, some of which can be inverted."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.registry import Options


class ImageGenerator(nn.Module, ABC):
    """A deterministic map from codes (B, D) to images (B, C, y, x) in [0, 1]; images do not depend on one another.

    Attributes:
        size: D. Standard normal codes give typical images, unless the class says otherwise.
        shape: (C, y, x) of the images.

    Example:
        >>> from v4egg.xdream.generators import make_image_generator
        >>> image_generator = make_image_generator("fourier", Preprocess(16, 3, [0.5] * 3, [0.2] * 3))
        >>> image_generator(torch.randn(2, image_generator.size)).shape
        torch.Size([2, 3, 16, 16])
    """

    size: int
    shape: tuple[int, int, int]

    @torch.no_grad()
    def forward(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x) in [0, 1] of codes (B, D), without gradient.

        Raises:
            V4eggError: the codes have another shape.
        """
        if codes.ndim != 2 or codes.shape[1] != self.size:
            raise V4eggError(f"{type(self).__name__}: codes of shape {tuple(codes.shape)}; give (B, {self.size})")
        return self.decode(codes.to(self.device)).clamp(0, 1)

    @property
    def device(self) -> torch.device:
        """The device of its parameters and buffers."""
        return next(itertools.chain(self.parameters(), self.buffers())).device

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x), not clipped to [0, 1], of codes (B, D)."""

    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D) whose images resemble the given images (B, C, y, x) in [0, 1].

        Raises:
            V4eggError: the generator cannot be inverted.
        """
        raise V4eggError(f"{type(self).__name__} cannot find the codes of images; start from random codes")


class GeneratorOptions(Options):
    """Base of the options of image generators."""

    @abstractmethod
    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> ImageGenerator:
        """The image generator; see :func:`v4egg.xdream.generators.make_image_generator` for the arguments."""


def store_of(stores: Mapping[str, Any], name: str, generator: str) -> Any:
    """The path of a store that an image generator requires, or the object that has been loaded from it.

    Raises:
        V4eggError: it is not given.
    """
    if name not in stores:
        raise V4eggError(f"image generator '{generator}' reads the store '{name}'; give it in stores")
    return stores[name]
