"""Students: the compact networks of several units, trained as one network.

All units are shown the same images, so that layer 0 of all units is one convolution, and each later layer one
convolution that is grouped by unit. Units do not influence one another: each becomes the same network as when it is
trained alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from v4egg.compact.network import KERNEL, SEPARABLE, CompactNetwork, map_size, tensor_shapes
from v4egg.device import fast_bf16
from v4egg.seeding import torch_generator

PIXEL_SCALE = 64.0  # divides centred pixels in 0-255, so that the optimizer sees inputs of order 1
_CHANNELS_LAST = torch.channels_last


def new_network(widths: Sequence[int], size: int, strides: Sequence[int], *key: object) -> CompactNetwork:
    """An untrained network with random weights, whose scale :meth:`Students.calibrate` sets.

    Args:
        widths: filters of the five layers.
        size: side of the images in pixels.
        strides: of the four separable layers.
        key: of the random weights.
    """
    rng = torch_generator("student", *key)
    side = map_size(size, strides)
    tensors = {}
    for name, shape in tensor_shapes(widths, side).items():
        weights = torch.randn(shape, generator=rng)
        tensors[name] = torch.zeros(shape) if name.endswith("bias") else weights
    tensors["readout_weight"] *= 0.3 / (side * widths[-1] ** 0.5)
    return CompactNetwork(tensors, strides)


class Students(nn.Module):
    """The networks of several units as one, for training; narrower networks are padded with zero filters.

    Args:
        networks: one per unit, all of one image size and with the same strides.
        sample: fraction of a batch that the gradient of depthwise kernels is estimated from. With the whole batch it is
            the most expensive part of training on a CPU; as a batch is in random order, the estimate is unbiased.

    Example:
        >>> networks = [new_network((3, 3, 3, 3, 3), 8, (2, 2, 1, 1), "unit", i) for i in range(2)]
        >>> students = Students(networks)
        >>> students(torch.zeros(4, 3, 8, 8)).shape
        torch.Size([4, 2])
        >>> students.networks()[1].widths
        (3, 3, 3, 3, 3)
    """

    readout_weight: nn.Parameter
    readout_bias: nn.Parameter

    def __init__(self, networks: Sequence[CompactNetwork], sample: float = 1.0) -> None:
        super().__init__()
        self.strides, self.sample = networks[0].strides, sample
        self.widths = [network.widths for network in networks]
        self.max_widths = tuple(int(width) for width in np.max(self.widths, axis=0))
        side = networks[0].readout_map.shape[-1]
        for name, shape in tensor_shapes(self.max_widths, side).items():
            padded = torch.zeros(len(networks), *shape)
            for i, network in enumerate(networks):
                tensor = network.get_buffer(name)
                padded[i][_corner(tensor.shape)] = tensor
            padded = padded * PIXEL_SCALE if name == "conv0_weight" else padded
            padded = padded if name == "readout_bias" else padded.flatten(0, 1)
            layout = _CHANNELS_LAST if padded.ndim == 4 else torch.contiguous_format
            self.register_parameter(name, nn.Parameter(padded.contiguous(memory_format=layout)))

    def forward(self, centred: Tensor) -> Tensor:
        """Responses (B, U) to centred images (B, 3, H, W), see :meth:`CompactModels.centred`."""
        maps = self.maps(centred)[-1]
        weighted = (maps * self.readout_weight.to(maps.dtype)).permute(0, 2, 3, 1)
        by_unit = weighted.reshape(len(maps), -1, len(self.widths), self.max_widths[-1])
        return by_unit.float().sum((1, 3)) + self.readout_bias

    def maps(self, centred: Tensor, calibrating: bool = False) -> list[Tensor]:
        """Rectified maps (B, U * C_l, H_l, W_l) of the five layers.

        Args:
            centred: (B, 3, H, W).
            calibrating: whether weights are rescaled on the way, see :meth:`calibrate`.
        """
        precision = torch.bfloat16 if fast_bf16(centred.device) and not calibrating else torch.float32
        maps = [(centred / PIXEL_SCALE).to(precision, memory_format=_CHANNELS_LAST)]
        for layer in (0, *SEPARABLE):
            part = f"pointwise{layer}" if layer else "conv0"
            padding, groups = (0, len(self.widths)) if layer else (KERNEL // 2, 1)
            weight, bias = self.get_parameter(f"{part}_weight"), self.get_parameter(f"{part}_bias")
            inputs = maps[-1]
            if layer:
                kernels, stride = self.get_parameter(f"depthwise{layer}"), self.strides[layer - 1]
                inputs = Depthwise.apply(inputs, kernels, stride, self.sample)
            if calibrating:
                _calibrate(weight, bias, functional.conv2d(inputs, weight, padding=padding, groups=groups))
            sums = functional.conv2d(inputs, weight.to(precision), bias.to(precision), padding=padding, groups=groups)
            maps.append(functional.relu(sums))
        return maps[1:]

    @torch.no_grad()
    def calibrate(self, centred: Tensor) -> None:
        """Scale each filter's output to mean 0 and standard deviation 1 over images (B, 3, H, W), in place.

        This replaces batch normalization (Mishkin & Matas, "All you need is a good init", ICLR 2016).
        """
        self.maps(centred, calibrating=True)

    @torch.no_grad()
    def networks(self) -> list[CompactNetwork]:
        """The units' networks, each without its padding."""
        return [self._network(i, widths) for i, widths in enumerate(self.widths)]

    def _network(self, unit: int, widths: Sequence[int]) -> CompactNetwork:
        tensors = {}
        side = self.readout_weight.shape[-1]
        for name, shape in tensor_shapes(widths, side).items():
            padded = self.get_parameter(name).detach().unflatten(0, (len(self.widths), -1))[unit]
            tensor = padded[_corner(shape)].reshape(shape)
            tensors[name] = tensor / PIXEL_SCALE if name == "conv0_weight" else tensor.clone()
        return CompactNetwork(tensors, self.strides)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimizer, with a lower learning rate for the readout.

        A step of Adam changes every weight by about the learning rate, and the response by the sum of these changes
        over all positions of the readout's map.
        """
        readout = [self.readout_weight]
        others = [parameter for name, parameter in self.named_parameters() if name != "readout_weight"]
        slower = learning_rate / self.readout_weight.shape[-1]
        return [{"params": others, "lr": learning_rate}, {"params": readout, "lr": slower}]


def _corner(shape: Sequence[int]) -> tuple[slice, ...]:
    """The first entries of each axis: where a narrower network's tensor lies in a padded one."""
    return tuple(slice(length) for length in shape)


def _calibrate(weight: Tensor, bias: Tensor, sums: Tensor) -> None:
    deviation = sums.std((0, 2, 3)).clamp_min(1e-6)
    silent = weight.flatten(1).abs().amax(1) == 0  # padding
    scale = torch.where(silent, torch.ones_like(deviation), 1 / deviation)
    weight.mul_(scale.view(-1, 1, 1, 1))
    bias.copy_(torch.where(silent, torch.zeros_like(bias), -sums.mean((0, 2, 3)) * scale))


class Depthwise(torch.autograd.Function):
    """Convolution of each map with its own kernel and the published padding, with gradients that are fast on CPUs.

    ``apply(maps, kernels, stride, sample)`` takes maps (B, C, H, W), kernels (C, 1, 5, 5) in float32, the stride (1 or
    2) and the fraction of the batch that the kernels' gradient is estimated from. At stride 2, H and W must be even;
    the maps' gradient is then a convolution at stride 1 of the output's gradient interleaved with zeros, which in bf16
    is about twenty times as fast as torch's.
    """

    @staticmethod
    def forward(context: Any, maps: Tensor, kernels: Tensor, stride: int, sample: float) -> Tensor:
        """See the class."""
        context.save_for_backward(maps, kernels)
        context.stride, context.sample = stride, sample
        kernels = kernels.to(maps.dtype)
        if stride == 1:
            return functional.conv2d(maps, kernels, padding=KERNEL // 2, groups=len(kernels))
        output = functional.conv2d(maps, kernels, stride=2, padding=3, groups=len(kernels))
        return output[:, :, 1:, 1:].contiguous(memory_format=_CHANNELS_LAST)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Gradients of the maps and of the kernels."""
        maps, kernels = context.saved_tensors
        n = max(1, round(len(maps) * context.sample))
        of_kernels = _kernel_gradient(maps[:n].float(), kernels, gradient[:n].float(), context.stride)
        return _map_gradient(gradient, kernels, context.stride), of_kernels * (len(maps) / n), None, None


def _map_gradient(gradient: Tensor, kernels: Tensor, stride: int) -> Tensor:
    flipped = kernels.flip(2, 3).to(gradient.dtype)
    if stride == 1:
        return functional.conv2d(gradient, flipped, padding=KERNEL // 2, groups=len(flipped))
    n, channels, height, width = gradient.shape
    interleaved = gradient.new_zeros(n, 2 * height + 4, 2 * width + 4, channels).permute(0, 3, 1, 2)  # channels last
    interleaved[:, :, 3 : 3 + 2 * height : 2, 3 : 3 + 2 * width : 2] = gradient
    return functional.conv2d(interleaved, flipped, groups=len(flipped))


def _kernel_gradient(maps: Tensor, kernels: Tensor, gradient: Tensor, stride: int) -> Tensor:
    padding = KERNEL // 2
    if stride == 2:  # the first row and column, which the forward pass leaves out
        gradient, padding = functional.pad(gradient, (1, 0, 1, 0)), 3
    layouts = [tensor.contiguous(memory_format=_CHANNELS_LAST) for tensor in (gradient, maps, kernels)]
    strides, paddings, groups = [stride] * 2, [padding] * 2, len(kernels)
    outputs = [False, True, False]  # of the gradients of maps, kernels and bias, the kernels' alone
    backward = torch.ops.aten.convolution_backward
    return backward(*layouts, None, strides, paddings, [1, 1], False, [0, 0], groups, outputs)[1]
