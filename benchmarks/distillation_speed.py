"""What distillation costs: students an hour, by how many are trained side by side, and against a plain way of training.

Usage: OMP_NUM_THREADS=1 python benchmarks/distillation_speed.py [--size 56] [--width 24] [--images 70000]

Random images and targets: time does not depend on what is learned. The plain way is one unit at a time, float32, and
torch's own gradients, as a single network is usually trained. Each row is the faster of three steps, in seconds of one
processor; ``--images`` is what one student learns from, counting repeats (views x epochs, before and after pruning).
"""

import argparse

import numpy as np
import torch
from torch import nn

from processor_time import fastest
from v4egg.compact.network import CHANNEL_MEANS, STRIDES, map_size
from v4egg.compact.students import Students, new_network


class Plain(nn.Sequential):
    """The same network of one unit, with batch norms, from torch's own layers."""

    def __init__(self, width: int, size: int):
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, padding=2), nn.BatchNorm2d(width), nn.ReLU()]
        for stride in STRIDES:
            layers += [nn.Conv2d(width, width, 5, stride=stride, padding=2, groups=width, bias=False)]
            layers += [nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*layers, nn.Flatten(), nn.Linear(width * map_size(size) ** 2, 1))


def step_of(network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor):
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (network(inputs) - targets).square().mean(0).sum().backward()
        optimizer.step()

    return step


def side_by_side(units: int, options: argparse.Namespace, sample: float = 0.5) -> float:
    """Seconds an image and unit."""
    widths = [options.width] * 5
    students = Students([new_network(widths, options.size, STRIDES, unit) for unit in range(units)], sample)
    step = step_of(students, images(options), torch.zeros(options.batch, units))
    return fastest(step, 3) / options.batch / units


def plain(options: argparse.Namespace) -> float:
    return fastest(step_of(Plain(options.width, options.size), images(options), torch.zeros(options.batch, 1)), 3) / (
        options.batch
    )


def images(options: argparse.Namespace) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, (options.batch, 3, options.size, options.size))
    return torch.from_numpy(drawn).float() - torch.tensor(CHANNEL_MEANS).view(3, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"size": 56, "width": 24, "batch": 32, "images": 70_000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--units", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    slow = plain(options)
    rows = {"one at a time, plain": slow}
    print(f"{options.size} px, {options.width} filters, {options.images} images a student")
    print(f"{'':28} ms/image/unit  students/hour  speed-up")
    for units in options.units:
        rows[f"{units} side by side"] = side_by_side(units, options)
    for name, cost in rows.items():
        print(f"{name:28} {1000 * cost:13.3f} {3600 / cost / options.images:14.0f} {slow / cost:9.1f}")


if __name__ == "__main__":
    main()
