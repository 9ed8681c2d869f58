"""The architecture of compact models: one small convolutional network per V4 unit.

Layer 0 is a 5x5 convolution; layers 1 to 4 are separable 5x5 convolutions, with stride 2 in layers 1 and 2. Each is
followed by batch normalization and ReLU, and a linear readout of the last map gives the response (Cowley, Stan, Pillow
& Smith, "Compact deep neural network models of the visual cortex", Nature 2026). The size of the image and the numbers
of filters are free; the published ones are 112 px and at most 100 filters per layer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from v4egg.device import fast_bf16
from v4egg.errors import V4eggError
from v4egg.images.processing import resize, to_channels

CHANNEL_MEANS = (116.222, 109.270, 100.381)  # of RGB in 0-255, subtracted from every input
KERNEL = 5
SEPARABLE = (1, 2, 3, 4)
STRIDES = (2, 2, 1, 1)  # of the separable layers
_CPU_BATCH = 4  # images: larger activations leave the cache and cost time in the kernel's memory management
_GPU_BATCH = 256  # images: about 3 GB of activations without gradient at the published size


class CompactNetwork(nn.Module):
    """The network of one unit, with each batch normalization folded into the convolution before it; frozen.

    Args:
        tensors: the tensors that :func:`tensor_shapes` names, in these shapes, except that the readout's map may be of
            any size.
        strides: of the four separable layers.

    Example:
        >>> import torch
        >>> shapes = tensor_shapes((4, 4, 3, 3, 3), side=2)
        >>> network = CompactNetwork({name: torch.ones(shape) for name, shape in shapes.items()})
        >>> network.widths, network.parameters_count
        ((4, 4, 3, 3, 3), 726)
        >>> network(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2])
    """

    conv0_weight: Tensor
    conv0_bias: Tensor
    readout_weight: Tensor
    readout_bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        self.strides = tuple(strides)
        for name, tensor in tensors.items():
            self.register_buffer(name, _stored(tensor))

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of filters of the five layers."""
        return len(self.conv0_weight), *(len(self.get_buffer(f"pointwise{layer}_weight")) for layer in SEPARABLE)

    @property
    def readout_map(self) -> Tensor:
        """Readout weights (C_4, H, W) of the last layer's maps."""
        return self.readout_weight

    @property
    def parameters_count(self) -> int:
        """Number of parameters with batch norms folded (the published count has four more per filter)."""
        return sum(tensor.numel() for tensor in self.buffers())

    def layers(self, centred: Tensor, early: torch.dtype = torch.float32) -> list[Tensor]:
        """Rectified maps (B, C_l, H_l, W_l) of the five layers for centred images (B, 3, H, W).

        The costly layers 0 and 1 compute in the precision ``early``, the others in float32.
        """
        weight, bias = self.conv0_weight.to(early), self.conv0_bias.to(early)
        # Rectified in place: a second map of this size costs the kernel's memory management.
        first = functional.conv2d(centred.to(early), weight, bias, padding=KERNEL // 2).relu_()
        return self.later_layers(first, 0)

    def later_layers(self, maps: Tensor, layer: int) -> list[Tensor]:
        """The given maps of a layer, followed by the maps of all later layers computed from them."""
        outputs = [maps]
        for later in SEPARABLE[layer:]:
            precision = outputs[-1].dtype if later == 1 else torch.float32
            kernels, weight, bias = (
                self.get_buffer(part).to(precision)
                for part in (f"depthwise{later}", f"pointwise{later}_weight", f"pointwise{later}_bias")
            )
            filtered = depthwise(outputs[-1].to(precision), kernels, self.strides[later - 1])
            outputs.append(functional.conv2d(filtered, weight, bias).relu_())
        return outputs

    def read_out(self, last: Tensor) -> Tensor:
        """Responses (B,) to the maps of the last layer (B, C_4, H, W)."""
        return torch.einsum("bchw,chw->b", last, self.readout_weight) + self.readout_bias

    def forward(self, centred: Tensor, early: torch.dtype = torch.float32) -> Tensor:
        """Responses (B,) to centred images (B, 3, H, W): RGB in 0-255 minus :data:`CHANNEL_MEANS`."""
        return self.read_out(self.layers(centred, early)[-1])

    def ablated(self, layer: int, filters: Sequence[int]) -> "CompactNetwork":
        """The same network with the outputs of some filters of a layer (0 to 4) set to zero.

        Raises:
            V4eggError: there is no such layer or filter.
        """
        if not 0 <= layer < len(self.widths):
            raise V4eggError(f"layer {layer}: a compact network has layers 0 to {len(self.widths) - 1}")
        wrong = [index for index in filters if not 0 <= index < self.widths[layer]]
        if wrong:
            raise V4eggError(f"filter {wrong[0]}: layer {layer} has {self.widths[layer]} filters; count from 0")
        tensors = dict(self.named_buffers())
        part = "conv0" if layer == 0 else f"pointwise{layer}"
        for name in (f"{part}_weight", f"{part}_bias"):  # without weight and bias the rectified output is zero
            tensors[name] = tensors[name].clone()
            tensors[name][list(filters)] = 0
        return CompactNetwork(tensors, self.strides).train(self.training)


class CompactModels(nn.Module):
    """The compact networks of a session's units as one model; frozen, differentiable in the images.

    Args:
        networks: one per unit, all of one image size.
        units: unit ids such as ``s190923-u000``, in the same order.
        size: side in pixels of the images that the networks take.

    Example:
        >>> import torch
        >>> shapes = tensor_shapes((4, 4, 3, 3, 3), map_size(8))
        >>> network = CompactNetwork({name: torch.ones(shape) for name, shape in shapes.items()})
        >>> models = CompactModels([network, network.ablated(0, [1])], ["s1-u000", "s1-u001"], size=8)
        >>> models(torch.rand(5, 3, 20, 20)).shape
        torch.Size([5, 2])
        >>> models.paired(torch.rand(3, 3, 20, 20), [1, 0, 1]).shape
        torch.Size([3])
    """

    networks: Sequence[CompactNetwork]
    channel_means: Tensor

    def __init__(self, networks: Sequence[CompactNetwork], units: Sequence[str], size: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)  # type: ignore[assignment]  # a ModuleList has no element type
        self.units, self.size = list(units), size
        self.register_buffer("channel_means", torch.tensor(CHANNEL_MEANS).view(1, 3, 1, 1))
        self._early = torch.float32

    @contextmanager
    def reduced_precision(self) -> Iterator[None]:
        """Compute layers 0 and 1 in bf16 within this context where the hardware is fast at it, in half the time.

        Responses then differ from those in float32 by some thousandths of their standard deviation: good enough to
        compare the candidates of a search, not for responses that are reported.
        """
        self._early = torch.bfloat16 if fast_bf16(self.channel_means.device) else torch.float32
        try:
            yield
        finally:
            self._early = torch.float32

    def forward(self, images: Tensor, units: Sequence[int] | Tensor | None = None) -> Tensor:
        """Responses (B, U) in the models' own scale: as published, mean 0 and standard deviation of about 1.

        Args:
            images: (B, 3 or 1, H, W) in [0, 1], of any size; they are resized to a square.
            units: positions in ``self.units`` of the U units; None for all.

        Raises:
            V4eggError: the images are not (B, 3 or 1, H, W), or there is no unit at a position.
        """
        positions = self._positions(range(len(self.units)) if units is None else units)
        rows = []
        for part in images.split(_CPU_BATCH if images.device.type == "cpu" else _GPU_BATCH):
            centred = self.centred(part)
            columns = [self.networks[position](centred, self._early) for position in positions]
            rows.append(torch.stack(columns, dim=1) if columns else centred.new_zeros(len(part), 0))
        return torch.cat(rows)

    def paired(self, images: Tensor, units: Sequence[int] | Tensor) -> Tensor:
        """Responses (B,): of image b by the unit at position ``units[b]``. See :meth:`forward`."""
        positions = torch.tensor(self._positions(units), dtype=torch.long)
        if len(positions) != len(images):
            raise V4eggError(f"paired: {len(images)} images and {len(positions)} units; give each image one unit")
        order = torch.argsort(positions, stable=True)
        distinct, sizes = torch.unique_consecutive(positions[order], return_counts=True)
        parts = [
            self(images[rows.to(images.device)], [unit])[:, 0]
            for unit, rows in zip(distinct.tolist(), order.split(sizes.tolist()), strict=True)
        ]
        if not parts:
            return self.channel_means.new_zeros(0)
        return torch.cat(parts)[torch.argsort(order).to(images.device)]

    def centred(self, images: Tensor) -> Tensor:
        """The networks' input (B, 3, size, size) for images (B, 3 or 1, H, W) in [0, 1]."""
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise V4eggError(f"images of shape {tuple(images.shape)}: compact models take (B, 3, H, W), or grey ones")
        images = resize(to_channels(images.to(self.channel_means.dtype), 3), self.size)
        # channels last: about 1.5 times faster than the default layout in these small convolutions
        return (images * 255 - self.channel_means).contiguous(memory_format=torch.channels_last)

    def _positions(self, units: Sequence[int] | Tensor) -> list[int]:
        positions = [int(unit) for unit in (units.tolist() if isinstance(units, Tensor) else units)]
        wrong = [unit for unit in positions if not 0 <= unit < len(self.units)]
        if wrong:
            raise V4eggError(f"unit {wrong[0]}: there are compact models of {len(self.units)} units; count from 0")
        return positions


def depthwise(maps: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Convolve each map (B, C, H, W) with its own 5x5 kernel (C, 1, 5, 5); sides become ceil(side / stride).

    The published zero-padding at stride 2, (1, 3, 1, 3), equals a symmetric padding of 3 without the first row and
    column of the output, which needs no padded copy of the input.
    """
    if stride == 1:
        return functional.conv2d(maps, kernels, padding=KERNEL // 2, groups=len(kernels))
    return functional.conv2d(maps, kernels, stride=stride, padding=3, groups=len(kernels))[:, :, 1:, 1:]


def map_size(size: int, strides: Sequence[int] = STRIDES) -> int:
    """Side of the last layer's maps for images of ``size`` x ``size`` pixels.

    >>> map_size(112)
    28
    """
    for stride in strides:
        size = -(-size // stride)
    return size


def tensor_shapes(widths: Sequence[int], side: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors, given the filters of its five layers and the side of its last maps."""
    shapes: dict[str, tuple[int, ...]] = {"conv0_weight": (widths[0], 3, KERNEL, KERNEL), "conv0_bias": (widths[0],)}
    for layer in SEPARABLE:
        shapes[f"depthwise{layer}"] = (widths[layer - 1], 1, KERNEL, KERNEL)
        shapes[f"pointwise{layer}_weight"] = (widths[layer], widths[layer - 1], 1, 1)
        shapes[f"pointwise{layer}_bias"] = (widths[layer],)
    return shapes | {"readout_weight": (widths[-1], side, side), "readout_bias": ()}


def parameters_of(widths: Sequence[int], side: int) -> int:
    """Number of parameters of a network, given the filters of its five layers and the side of its last maps."""
    return sum(math.prod(shape) for shape in tensor_shapes(widths, side).values())


def folded(weight: Tensor, bias: Tensor | None, norm: Mapping[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """Weight (C, ...) and bias (C,) of a convolution with the batch normalization after it folded in.

    Args:
        weight, bias: of the convolution alone.
        norm: ``weight``, ``bias``, ``running_mean`` and ``running_var`` of the batch normalization, each (C,).
        eps: of the batch normalization.
    """
    gain = norm["weight"] / torch.sqrt(norm["running_var"] + eps)
    before = norm["running_mean"] if bias is None else norm["running_mean"] - bias
    return weight * gain.view(-1, *[1] * (weight.ndim - 1)), norm["bias"] - before * gain


def _stored(tensor: Tensor) -> Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.detach().float().contiguous(memory_format=layout)
