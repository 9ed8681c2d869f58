"""Students: compact networks of several units in training, side by side as one network.

All units see the same images, so layer 0 of all is one convolution, and each later layer one that is grouped by unit.
No number of one unit reaches another, so that a unit becomes the same network alone and in company.
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

PIXEL_SCALE = 64.0  # centred pixels of 0-255 are divided by it: inputs of about unit size, for the optimizer
_CHANNELS_LAST = torch.channels_last


def new_network(widths: Sequence[int], size: int, strides: Sequence[int], *key: object) -> CompactNetwork:
    """An untrained network, its weights drawn by ``key``; :meth:`Students.calibrate` gives them their scale."""
    rng = torch_generator("student", *key)
    side = map_size(size, strides)
    tensors = {}
    for name, shape in tensor_shapes(widths, side).items():
        drawn = torch.randn(shape, generator=rng)
        tensors[name] = torch.zeros(shape) if name.endswith("bias") else drawn
    tensors["readout_weight"] *= 0.3 / (side * widths[-1] ** 0.5)
    return CompactNetwork(tensors, strides)


class Students(nn.Module):
    """Networks of several units as one, for training; narrower ones are padded with filters that stay silent.

    Args:
        networks: one a unit, all of one image size and with the same strides.
        sample: share of a batch that the gradient of depthwise kernels is estimated from (that of the whole batch is
            the most expensive part of training on a CPU); a batch is in random order, so the estimate has no bias.
    """

    def __init__(self, networks: Sequence[CompactNetwork], sample: float = 1.0):
        super().__init__()
        self.strides, self.sample = networks[0].strides, sample
        self.widths = [network.widths for network in networks]
        self.most = tuple(int(width) for width in np.max(self.widths, axis=0))
        side = networks[0].readout_map.shape[-1]
        for name, shape in tensor_shapes(self.most, side).items():
            whole = torch.zeros(len(networks), *shape)
            for i, network in enumerate(networks):
                own = network.get_buffer(name)
                whole[(i, *(slice(length) for length in own.shape))] = own
            whole = whole * PIXEL_SCALE if name == "conv0_weight" else whole
            whole = whole if name == "readout_bias" else whole.flatten(0, 1)
            layout = _CHANNELS_LAST if whole.ndim == 4 else torch.contiguous_format
            self.register_parameter(name, nn.Parameter(whole.contiguous(memory_format=layout)))

    def forward(self, centred: Tensor) -> Tensor:
        """Responses (B, U) to centred images (B, 3, H, W), see :meth:`CompactModels.centred`."""
        maps = self.maps(centred)[-1]
        weighed = (maps * self.readout_weight.to(maps.dtype)).permute(0, 2, 3, 1)
        return weighed.reshape(len(maps), -1, len(self.widths), self.most[-1]).float().sum((1, 3)) + self.readout_bias

    def maps(self, centred: Tensor, calibrating: bool = False) -> list[Tensor]:
        """Rectified maps (B, U * C_l, H_l, W_l) of the layers."""
        precision = torch.bfloat16 if fast_bf16(centred.device) and not calibrating else torch.float32
        maps = [(centred / PIXEL_SCALE).to(precision, memory_format=_CHANNELS_LAST)]
        for layer in (0, *SEPARABLE):
            part, options = ("conv0", {"padding": KERNEL // 2}) if layer == 0 else (f"pointwise{layer}", {})
            weight, bias = self.get_parameter(f"{part}_weight"), self.get_parameter(f"{part}_bias")
            inputs = maps[-1]
            if layer:
                kernels, stride = self.get_parameter(f"depthwise{layer}"), self.strides[layer - 1]
                inputs, options = Depthwise.apply(inputs, kernels, stride, self.sample), {"groups": len(self.widths)}
            if calibrating:
                _calibrate(weight, bias, functional.conv2d(inputs, weight, **options))
            sums = functional.conv2d(inputs, weight.to(precision), bias.to(precision), **options)
            maps.append(functional.relu(sums))
        return maps[1:]

    @torch.no_grad()
    def calibrate(self, centred: Tensor) -> None:
        """Scale each filter to mean 0 and standard deviation 1 over these images, as its batch norm would.

        The norm is then part of the weights (Mishkin & Matas 2016, "All you need is a good init").
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
            whole = self.get_parameter(name).detach().unflatten(0, (len(self.widths), -1))[unit]
            own = whole[tuple(slice(length) for length in shape)].reshape(shape)
            tensors[name] = own / PIXEL_SCALE if name == "conv0_weight" else own.clone()
        return CompactNetwork(tensors, self.strides)

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups of parameters for the optimizer: the readout, a number for each place, learns slower.

        One step of Adam moves every weight by about the learning rate, and the response by the sum over all places.
        """
        readout = [self.readout_weight]
        others = [parameter for name, parameter in self.named_parameters() if name != "readout_weight"]
        slower = learning_rate / self.readout_weight.shape[-1]
        return [{"params": others, "lr": learning_rate}, {"params": readout, "lr": slower}]


def _calibrate(weight: Tensor, bias: Tensor, sums: Tensor) -> None:
    deviation = sums.std((0, 2, 3)).clamp_min(1e-6)
    silent = weight.flatten(1).abs().amax(1) == 0  # padding
    scale = torch.where(silent, torch.ones_like(deviation), 1 / deviation)
    weight.mul_(scale.view(-1, 1, 1, 1))
    bias.copy_(torch.where(silent, torch.zeros_like(bias), -sums.mean((0, 2, 3)) * scale))


class Depthwise(torch.autograd.Function):
    """Each map by its own kernel, with the published padding; its gradients in the forms that CPUs are fast at.

    ``apply(maps, kernels, stride, sample)``: (B, C, H, W), (C, 1, 5, 5) in float32, 1 or 2, share of the batch that the
    kernels' gradient is estimated from. The maps' gradient at stride 2 is a convolution at stride 1 of the output's
    gradient with zeros between: in bf16 about twenty times as fast as torch's. H and W are even at stride 2.
    """

    @staticmethod
    def forward(context: Any, maps: Tensor, kernels: Tensor, stride: int, sample: float) -> Tensor:
        context.save_for_backward(maps, kernels)
        context.stride, context.sample = stride, sample
        own = kernels.to(maps.dtype)
        if stride == 1:
            return functional.conv2d(maps, own, padding=KERNEL // 2, groups=len(own))
        whole = functional.conv2d(maps, own, stride=2, padding=3, groups=len(own))
        return whole[:, :, 1:, 1:].contiguous(memory_format=_CHANNELS_LAST)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        maps, kernels = context.saved_tensors
        n = max(1, round(len(maps) * context.sample))
        of_kernels = _kernel_gradient(maps[:n].float(), kernels, gradient[:n].float(), context.stride)
        return _map_gradient(gradient, kernels, context.stride), of_kernels * (len(maps) / n), None, None


def _map_gradient(gradient: Tensor, kernels: Tensor, stride: int) -> Tensor:
    turned = kernels.flip(2, 3).to(gradient.dtype)
    if stride == 1:
        return functional.conv2d(gradient, turned, padding=KERNEL // 2, groups=len(turned))
    n, channels, height, width = gradient.shape
    spread = gradient.new_zeros(n, 2 * height + 4, 2 * width + 4, channels).permute(0, 3, 1, 2)  # channels last
    spread[:, :, 3 : 3 + 2 * height : 2, 3 : 3 + 2 * width : 2] = gradient
    return functional.conv2d(spread, turned, groups=len(turned))


def _kernel_gradient(maps: Tensor, kernels: Tensor, gradient: Tensor, stride: int) -> Tensor:
    padding = KERNEL // 2
    if stride == 2:  # the first row and column, which the forward pass leaves out
        gradient, padding = functional.pad(gradient, (1, 0, 1, 0)), 3
    layouts = [tensor.contiguous(memory_format=_CHANNELS_LAST) for tensor in (gradient, maps, kernels)]
    steps, around, groups = [stride] * 2, [padding] * 2, len(kernels)
    wanted = [False, True, False]
    return torch.ops.aten.convolution_backward(*layouts, None, steps, around, [1, 1], False, [0, 0], groups, wanted)[1]
