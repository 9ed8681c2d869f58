"""Readouts: from a feature map (B, C, h, w) to the responses of each unit, before the output nonlinearity.

Every readout has the same calls: ``forward(features, units) -> (B, len(units))`` where ``units`` is an index tensor or
None for all, ``paired(features, units[B]) -> (B,)`` with one target unit an image, and ``penalty(units)``.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor, nn

from v4egg.encoders.cores import roughness
from v4egg.encoders.registry import READOUTS
from v4egg.registry import Entry, Options, Registry, options_of


class Readout(nn.Module, ABC):
    """Base of readouts: feature map (B, C, h, w) -> responses before the output nonlinearity.

    Attributes:
        bias: of each unit (U,).
    """

    bias: nn.Parameter

    @abstractmethod
    def forward(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) of all units, or of those of an index tensor."""

    @abstractmethod
    def paired(self, features: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each image, given the units' indices (B,)."""

    @abstractmethod
    def penalty(self, units: Tensor) -> Tensor:
        """Scalar that training adds to its loss, for the units of an index tensor."""


def sinusoidal_code(channels: int, height: int, width: int) -> Tensor:
    """Fixed 2-D position code (height * width, channels): half the channels for rows, half for columns, base 10^4."""
    half = channels // 2
    quarter = (half + 1) // 2
    frequency = torch.exp(-math.log(1e4) * torch.arange(quarter) / max(quarter, 1))

    def one_axis(length: int, width: int) -> Tensor:
        angle = torch.arange(length)[:, None] * frequency
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]

    rows = one_axis(height, half)[:, None].expand(height, width, half)
    columns = one_axis(width, channels - half) if channels % 2 == 0 else F.pad(one_axis(width, half), (0, 1))
    columns = columns[None].expand(height, width, channels - half)
    return torch.cat([rows, columns], -1).reshape(height * width, channels).float()


class _Attention(Readout):
    """Base of readouts with attention: heads and attention weights; subclasses have the parameters."""

    position: Tensor

    def __init__(self, dim: int, heads: int, temperature: float) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5 / temperature

    def _grouped(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(-1, (self.heads, -1))

    def _attend(self, keys: Tensor, query: Tensor) -> Tensor:
        """Keys (B, S, heads, d) and queries (N, heads, d) -> a distribution over places (B, N, heads, S)."""
        return torch.einsum("bshd,nhd->bnhs", keys, query * self.scale).float().softmax(-1)

    def _attend_paired(self, keys: Tensor, query: Tensor) -> Tensor:
        """The same for one query an image (B, heads, d) -> (B, heads, S)."""
        return torch.einsum("bshd,bhd->bhs", keys, query * self.scale).float().softmax(-1)


class AttentionReadout(_Attention):
    """Attention over positions with keys and values shared by all units (Pierzchlewicz et al. 2023).

    With X the features plus a fixed position code, k_s and v_s linear in X, and a query q_n, features f_n and bias b_n
    for unit n: a_{s,n} = softmax_s(k_s . q_n / (sqrt(c) T)), y_n = f_n . sum_s a_{s,n} v_s + b_n. With several heads,
    keys, queries, values and features are split in groups.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_units: int,
        dim: int = 128,
        heads: int = 1,
        temperature: float = 1.0,
        dropout: float = 0.1,
        l1: float = 0.0,
    ) -> None:
        super().__init__(dim, heads, temperature)
        channels, height, width = shape
        self.l1 = l1
        self.register_buffer("position", sinusoidal_code(channels, height, width), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.key = nn.Linear(channels, dim, bias=False)
        self.value = nn.Linear(channels, dim, bias=False)
        self.query = nn.Parameter(torch.randn(n_units, dim))
        self.feature = nn.Parameter(torch.randn(n_units, dim) * dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_units))

    def _keys_values(self, features: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.dropout(features.flatten(2).transpose(1, 2) + self.position)
        return self._grouped(self.key(tokens)), self._grouped(self.value(tokens))

    def forward(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) to feature maps (B, C, h, w)."""
        query, feature, bias = self._of(units)
        keys, values = self._keys_values(features)
        drive = torch.einsum("bshd,nhd->bnhs", values, feature)
        return (self._attend(keys, query) * drive).sum((-1, -2)) + bias

    def paired(self, features: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each feature map."""
        query, feature, bias = self._of(units)
        keys, values = self._keys_values(features)
        drive = torch.einsum("bshd,bhd->bhs", values, feature)
        return (self._attend_paired(keys, query) * drive).sum((-1, -2)) + bias

    def penalty(self, units: Tensor) -> Tensor:
        """Weighted mean absolute weights of the units, see the options."""
        return self.l1 * (self.query[units].abs().mean() + self.feature[units].abs().mean())

    def _of(self, units: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if units is None:
            return self._grouped(self.query), self._grouped(self.feature), self.bias
        return self._grouped(self.query[units]), self._grouped(self.feature[units]), self.bias[units]


class RefittedAttention(_Attention):
    """The attention of a trained :class:`AttentionReadout`, and weights on all channels that it picks from.

    With keys k_s and query q_n of the trained readout and X the features, the position code added to those that keys
    are made from: y_n = w_n . sum_s a_{s,n} x_s + b_n; heads have a w_n each. Made by
    :func:`v4egg.encoders.refit.refitted`.

    Args:
        key_channels: how many of the channels, the first ones, the keys are made from; all if None.
        dim, heads, temperature: as the trained readout has them.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_units: int,
        key_channels: int | None = None,
        dim: int = 128,
        heads: int = 1,
        temperature: float = 1.0,
        l1: float = 0.0,
    ) -> None:
        super().__init__(dim, heads, temperature)
        channels, height, width = shape
        self.key_channels, self.l1 = channels if key_channels is None else key_channels, l1
        self.register_buffer("position", sinusoidal_code(self.key_channels, height, width), persistent=False)
        self.key = nn.Linear(self.key_channels, dim, bias=False)
        self.query = nn.Parameter(torch.randn(n_units, dim))
        self.weight = nn.Parameter(torch.randn(n_units, heads, channels) * channels**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_units))

    def attended_features(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Features (B, C, h, w) -> what each unit's attention picks from them (B, U, heads, C)."""
        tokens = self._tokens(features)
        return torch.einsum("bnhs,bsc->bnhc", self._attention(tokens, units), tokens)

    def forward(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) to feature maps (B, C, h, w)."""
        tokens = self._tokens(features)
        weight, bias = (self.weight, self.bias) if units is None else (self.weight[units], self.bias[units])
        drive = torch.einsum("bsc,nhc->bnhs", tokens, weight)
        return (self._attention(tokens, units) * drive).sum((-1, -2)) + bias

    def paired(self, features: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each feature map."""
        tokens = self._tokens(features)
        attention = self._attend_paired(self._keys(tokens), self._grouped(self.query[units]))
        drive = torch.einsum("bsc,bhc->bhs", tokens, self.weight[units])
        return (attention * drive).sum((-1, -2)) + self.bias[units]

    def penalty(self, units: Tensor) -> Tensor:
        """Size of the weights and queries, for training; :func:`~v4egg.encoders.refit.refitted` has its own."""
        return self.l1 * (self.query[units].abs().mean() + self.weight[units].abs().mean())

    def _tokens(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) -> (B, h * w, C), with the position code."""
        tokens = features.flatten(2).transpose(1, 2)
        return torch.cat([tokens[..., : self.key_channels] + self.position, tokens[..., self.key_channels :]], -1)

    def _keys(self, tokens: Tensor) -> Tensor:
        return self._grouped(self.key(tokens[..., : self.key_channels]))

    def _attention(self, tokens: Tensor, units: Tensor | None) -> Tensor:
        """Where each unit looks (B, U, heads, h * w), a distribution over places."""
        query = self.query if units is None else self.query[units]
        return self._attend(self._keys(tokens), self._grouped(query))


class GaussianReadout(Readout):
    """Each unit reads the features at one learned position (Lurz et al. 2021).

    In training the position is drawn from N(mu_n, sigma_n^2), which lets the gradient look around; in evaluation it is
    mu_n. Positions lie in [-1, 1]^2; features are interpolated bilinearly.
    """

    def __init__(
        self, shape: tuple[int, int, int], n_units: int, init_mu_range: float = 0.4, sigma: float = 0.6, l1: float = 0.0
    ) -> None:
        super().__init__()
        self.l1 = l1
        self.mu = nn.Parameter(torch.empty(n_units, 2).uniform_(-init_mu_range, init_mu_range))
        self.log_sigma = nn.Parameter(torch.full((n_units, 2), math.log(sigma)))
        self.feature = nn.Parameter(torch.randn(n_units, shape[0]) * shape[0] ** -0.5)
        self.bias = nn.Parameter(torch.zeros(n_units))

    def forward(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) to feature maps (B, C, h, w)."""
        units = torch.arange(len(self.bias), device=features.device) if units is None else units
        position = self._positions(units).expand(len(features), -1, -1)
        sampled = F.grid_sample(features.float(), self._jittered(position, units)[:, :, None], align_corners=False)
        return torch.einsum("bcn,nc->bn", sampled.squeeze(-1), self.feature[units]) + self.bias[units]

    def paired(self, features: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each feature map."""
        position = self._jittered(self._positions(units)[:, None], units[:, None])
        sampled = F.grid_sample(features.float(), position[:, :, None], align_corners=False)
        return (sampled.flatten(1) * self.feature[units]).sum(-1) + self.bias[units]

    def penalty(self, units: Tensor) -> Tensor:
        """Weighted mean absolute weights of the units, see the options."""
        return self.l1 * self.feature[units].abs().mean()

    def _positions(self, units: Tensor) -> Tensor:
        return self.mu[units].clamp(-1, 1)

    def _jittered(self, position: Tensor, units: Tensor) -> Tensor:
        if not self.training:
            return position
        return (position + self.log_sigma[units].exp() * torch.randn_like(position)).clamp(-1, 1)


class FactorizedReadout(Readout):
    """Each unit reads the features through one spatial mask and one set of feature weights (Klindt et al. 2017).

    y_n = sum_s m_{n,s} sum_c f_{n,c} x_{s,c} + b_n, where the mask m_n (h, w) has either sign and no softmax. Masks
    start as the mean over positions plus noise of a fifth, which takes no side and keeps responses of order one.

    Args:
        l1: weight of the mean of |f|.
        mask_l1: weight of the mean of |m|.
        smoothness: weight of the masks' roughness, see :func:`v4egg.encoders.cores.roughness`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_units: int,
        l1: float = 0.0,
        mask_l1: float = 0.0,
        smoothness: float = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.l1, self.mask_l1, self.smoothness = l1, mask_l1, smoothness
        self.mask = nn.Parameter((1 + 0.2 * torch.randn(n_units, height, width)) / (height * width))
        self.feature = nn.Parameter(torch.randn(n_units, channels) * channels**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_units))

    def forward(self, features: Tensor, units: Tensor | None = None) -> Tensor:
        """Responses (B, U) to feature maps (B, C, h, w)."""
        units = torch.arange(len(self.bias), device=features.device) if units is None else units
        # positions first: (B, n, channels) is smaller than (B, n, h, w)
        pooled = torch.einsum("bcs,ns->bnc", features.flatten(2), self.mask[units].flatten(1))
        return (pooled * self.feature[units]).sum(-1) + self.bias[units]

    def paired(self, features: Tensor, units: Tensor) -> Tensor:
        """Responses (B,) of one unit to each feature map."""
        pooled = torch.einsum("bcs,bs->bc", features.flatten(2), self.mask[units].flatten(1))
        return (pooled * self.feature[units]).sum(-1) + self.bias[units]

    def penalty(self, units: Tensor) -> Tensor:
        """Weighted mean absolute weights of the units, see the options."""
        mask = self.mask[units]
        lasso = self.l1 * self.feature[units].abs().mean() + self.mask_l1 * mask.abs().mean()
        return lasso + self.smoothness * roughness(mask[:, None]) if self.smoothness else lasso


class ReadoutOptions(Options):
    """Base of the options of readouts; ``readout`` is the class that a subclass configures."""

    readout: ClassVar[type[Readout]]

    def build(self, shape: tuple[int, int, int], n_units: int) -> Readout:
        """The untrained readout of feature maps of ``shape`` (channels, h, w) for ``n_units`` units."""
        return self.readout(shape, n_units, **self.model_dump())


class _AttentionOptions(ReadoutOptions):
    """Base of the options of readouts with attention."""

    model_config = ConfigDict(json_schema_extra={"x-multiple-of": {"dim": "heads"}})

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        dim, heads = getattr(self, "dim"), getattr(self, "heads")  # noqa: B009 - subclasses describe them
        if dim % heads:
            raise ValueError(f"dim is {dim}, which is not divisible by heads, {heads}")
        return self


class AttentionOptions(_AttentionOptions):
    """Attention over positions, with keys and values shared by all units (Pierzchlewicz et al. 2023)."""

    readout = AttentionReadout
    dim: int = Field(128, ge=1, description="Channels of keys, queries and values.")
    heads: int = Field(1, ge=1, description="Heads; dim is a multiple of it.")
    temperature: float = Field(1.0, gt=0, description="Temperature of the softmax over positions.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the features.")
    l1: float = Field(0.0, ge=0, description="Weight of the mean absolute query and feature weight.")


class RefittedAttentionOptions(_AttentionOptions):
    """The attention of a trained readout with weights on all channels; made by a refit."""

    readout = RefittedAttention
    key_channels: int | None = Field(None, ge=1, description="Channels that keys are made from; null: all.")
    dim: int = Field(128, ge=1, description="Channels of keys and queries.")
    heads: int = Field(1, ge=1, description="Heads; dim is a multiple of it.")
    temperature: float = Field(1.0, gt=0, description="Temperature of the softmax over positions.")
    l1: float = Field(0.0, ge=0, description="Weight of the mean absolute query and weight.")


class GaussianOptions(ReadoutOptions):
    """One learned position per unit (Lurz et al. 2021)."""

    readout = GaussianReadout
    init_mu_range: float = Field(0.4, ge=0, le=1, description="Largest distance of first positions from the centre.")
    sigma: float = Field(0.6, gt=0, description="First standard deviation of the positions drawn in training.")
    l1: float = Field(0.0, ge=0, description="Weight of the mean absolute feature weight.")


class FactorizedOptions(ReadoutOptions):
    """One spatial mask and one set of feature weights per unit (Klindt et al. 2017)."""

    readout = FactorizedReadout
    l1: float = Field(0.0, ge=0, description="Weight of the mean absolute feature weight.")
    mask_l1: float = Field(0.0, ge=0, description="Weight of the mean absolute mask weight.")
    smoothness: float = Field(0.0, ge=0, description="Weight of the Laplace-L2 roughness of the masks.")


# made by a refit, and by no configuration
REFITTED: Registry = {"refitted_attention": Entry("v4egg.encoders.readouts:RefittedAttentionOptions")}


def make_readout(name: str, shape: tuple[int, int, int], n_units: int, **options: Any) -> Readout:
    """The readout of that name, untrained.

    Args:
        name: a name of :data:`v4egg.encoders.registry.READOUTS`, or of :data:`REFITTED`.
        shape: of the feature maps, (channels, h, w).
        n_units: number of units.
        options: of the readout.

    Raises:
        V4eggError: no readout has that name, or an option is unknown or impossible.

    Example:
        >>> make_readout("gaussian", (8, 4, 4), n_units=3)(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 3])
    """
    readout: Readout = options_of({**READOUTS, **REFITTED}, name, options, "readout").build(shape, n_units)
    return readout
