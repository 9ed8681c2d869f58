"""What every image generator is: a map from codes to images, and back where it has a way back."""

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
    """Codes (B, D) -> images (B, C, y, x) in [0, 1]; deterministic, each image by its own code.

    Attributes:
        size: D. A standard normal code gives an ordinary image, unless the generator says otherwise.
        shape: (C, y, x) of the images.
    """

    size: int
    shape: tuple[int, int, int]

    @torch.no_grad()
    def forward(self, codes: Tensor) -> Tensor:
        if codes.ndim != 2 or codes.shape[1] != self.size:
            raise V4eggError(f"{type(self).__name__}: codes of shape {tuple(codes.shape)}; give (B, {self.size})")
        return self.decode(codes.to(self.device)).clamp(0, 1)

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(itertools.chain(self.parameters(), self.buffers())).device

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes of checked shape -> images, not clipped."""

    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D) whose images resemble these (B, C, y, x): what an evolution can start from.

        Raises:
            V4eggError: this generator has no way back.
        """
        raise V4eggError(f"{type(self).__name__} cannot find the codes of images; start from random codes")


class GeneratorOptions(Options):
    """Base of the options of image generators."""

    @abstractmethod
    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> ImageGenerator:
        """The image generator; see :func:`v4egg.xdream.generators.make_generator` for the arguments."""


def store_of(stores: Mapping[str, Any], name: str, generator: str) -> Any:
    """The path of a store that an image generator requires, or what has been loaded from it.

    Raises:
        V4eggError: it is not given.
    """
    if name not in stores:
        raise V4eggError(f"image generator '{generator}' reads the store '{name}'; give it in stores")
    return stores[name]
