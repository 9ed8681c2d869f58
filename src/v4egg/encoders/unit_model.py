"""What xdream, compact and evaluation need of a model of units, whichever package it comes from."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class UnitModel(Protocol):
    """A torch module that predicts the responses of named units to images.

    Encoders, ensembles, compact models and the simulated brain all have this interface. Models that
    :mod:`v4egg.synthesis` makes images for have more, see :class:`v4egg.synthesis.models.ResponseModel`.
    """

    @property
    def units(self) -> Sequence[str]:
        """Unit ids, one for each output."""

    def __call__(self, images: Tensor, units: Any = None, /) -> Tensor:
        """Images (B, C, y, x) in [0, 1] -> responses (B, U) of all units, or of those of an index tensor."""

    def paired(self, images: Tensor, units: Any, /) -> Tensor:
        """Images (B, C, y, x) and one unit index each (B,) -> the response of that unit to that image (B,)."""

    def to(self, device: str, /) -> Any:
        """The model on another device."""
