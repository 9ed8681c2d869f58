"""Small compact networks for tests: random ones, and one that is a dot detector by construction."""

import numpy as np
import torch

from v4egg.compact.network import SEPARABLE, CompactModels, CompactNetwork, map_size, tensor_shapes
from v4egg.seeding import numpy_generator, torch_generator

SIZE = 20  # of images
BARS = (1, 3, 5, 6)  # the planted detector's filters of layer 0: horizontal, vertical and both diagonals
SUM, DIFFERENCES = 2, (0, 1, 4, 5)  # its filters of layer 1
DOT = (1, 2, 0)  # its filter of layers 2, 3 and 4


def active_network(widths, *key, size=SIZE, strides=(2, 2, 1, 1)):
    """A network whose filters all take part."""
    rng = torch_generator("compact network", widths, *key)
    shapes = tensor_shapes(widths, map_size(size, strides))
    tensors = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    tensors["conv0_weight"] /= 100
    return CompactNetwork(tensors, strides)


def centred_images(n=3, size=SIZE):
    """Images as the networks see them."""
    return torch.randn(n, 3, size, size, generator=torch_generator("centred", size)) * 60


def random_network(widths, size, *key):
    generator = numpy_generator("random network", *key)
    shapes = tensor_shapes(widths, map_size(size))
    tensors = {name: generator.normal(0, 1 / np.sqrt(np.prod(shape[1:]) + 1), shape) for name, shape in shapes.items()}
    return CompactNetwork({name: torch.tensor(values).float() for name, values in tensors.items()})


def random_models(units, size, widths=(4, 5, 3, 3, 3)):
    return CompactModels([random_network(widths, size, unit) for unit in units], units, size).eval()


def _bar(degrees):
    """A 5x5 kernel that responds to a light line of that direction and to nothing uniform."""
    y, x = np.mgrid[-2:3, -2:3]
    across = y * np.cos(np.deg2rad(degrees)) - x * np.sin(np.deg2rad(degrees))
    kernel = (1 - across**2) * np.exp(-(across**2) / 2)
    kernel -= kernel.mean()
    return kernel / np.abs(kernel).sum()


def planted_dot_detector(size):
    """Lines of all directions at one place make a dot: their sum, less where one of two crossed ones wins, above 60."""
    generator = numpy_generator("planted dot detector")
    shapes = tensor_shapes((8, 6, 3, 3, 3), map_size(size))
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    kernels = generator.normal(0, 0.003, (8, 3, 5, 5))
    for index, degrees in zip(BARS, (0, 90, 45, 135), strict=True):
        kernels[index] = _bar(degrees) / 3
    tensors["conv0_weight"] = torch.tensor(kernels).float()
    for layer in SEPARABLE:
        tensors[f"depthwise{layer}"][:, 0, 2, 2] = 1
    first = tensors["pointwise1_weight"][:, :, 0, 0]
    first[3] = torch.tensor(generator.normal(0, 0.01, 8)).float()
    first[SUM, list(BARS)] = 1
    for index, (one, other) in zip((0, 4, 1, 5), ((1, 3), (3, 1), (5, 6), (6, 5)), strict=True):
        first[index, one], first[index, other] = 1, -1
    second = tensors["pointwise2_weight"][:, :, 0, 0]
    second[[0, 2], 3] = 0.01
    second[DOT[0]] = torch.tensor([-2.0, -2, 1, 0, -2, -2])
    tensors["pointwise2_bias"][DOT[0]] = -60
    tensors["pointwise3_weight"][DOT[1], DOT[0]] = 1
    tensors["pointwise3_weight"][0, 0] = 0.1
    tensors["pointwise4_weight"][DOT[2], DOT[1]] = 1
    tensors["pointwise4_weight"][1, 0] = 0.1
    tensors["readout_weight"][DOT[2]] = 1 / 25
    return CompactNetwork(tensors)
