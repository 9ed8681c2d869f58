"""Shared compact models: one small network for all units of a session, with one readout per unit.

The first three layers have few filters. How well such a model predicts the units shows how much of their early
computation is common (Cowley, Stan, Pillow & Smith, Nature 2026, share them among 219 neurons).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from v4egg.compact.distillation import CALIBRATION, centred_pixels, train
from v4egg.compact.network import STRIDES, CompactNetwork
from v4egg.compact.students import PIXEL_SCALE, Students, new_network
from v4egg.compact.teacher import DistillationDataset
from v4egg.io.checkpoints import Checkpoint
from v4egg.seeding import torch_generator

SHARED = 3  # layers
BATCH = 32


class SharedStudents(Students):
    """One network whose last maps each unit reads out with weights of its own.

    Args:
        widths: filters of the five layers.
        units: ids of the U units, which key their initial readouts.
        size: side of the images in pixels.
        seed: of the initial weights.
        sample: see :class:`~v4egg.compact.students.Students`.

    Example:
        >>> students = SharedStudents((2, 2, 2, 3, 3), ["s1-u000", "s1-u001"], size=8, seed=0)
        >>> students(torch.zeros(4, 3, 8, 8)).shape
        torch.Size([4, 2])
    """

    def __init__(self, widths: Sequence[int], units: Sequence[str], size: int, seed: int, sample: float = 1.0) -> None:
        super().__init__([new_network(widths, size, STRIDES, seed, "shared")], sample)
        shape, scale = self.readout_weight.shape, float(self.readout_weight.detach().std())
        readouts = [torch.randn(shape, generator=torch_generator(seed, "shared readout", unit)) for unit in units]
        self.readout_weight = nn.Parameter(scale * torch.stack(readouts))
        self.readout_bias = nn.Parameter(torch.zeros(len(units)))

    def forward(self, centred: Tensor) -> Tensor:
        """Responses (B, U) to centred images (B, 3, H, W)."""
        maps = self.maps(centred)[-1].float()
        return torch.einsum("bchw,uchw->bu", maps, self.readout_weight) + self.readout_bias

    @torch.no_grad()
    def networks(self) -> list[CompactNetwork]:
        """One network per unit; all parameters but the readout are the same."""
        tensors = {name: parameter.detach() for name, parameter in self.named_parameters()}
        tensors["conv0_weight"] = tensors["conv0_weight"] / PIXEL_SCALE
        readouts = zip(self.readout_weight, self.readout_bias, strict=True)
        return [CompactNetwork({**tensors, "readout_weight": w, "readout_bias": b}) for w, b in readouts]

    @torch.no_grad()
    def responses(self, images: np.ndarray) -> np.ndarray:
        """Responses (n, U), float32, to images uint8 (n, 3, size, size)."""
        device = self.readout_bias.device
        parts = [self(centred_pixels(images[i : i + BATCH]).to(device)) for i in range(0, len(images), BATCH)]
        return torch.cat(parts).cpu().numpy()


def shared_students(
    dataset: DistillationDataset,
    options: Mapping[str, Any],
    seed: int,
    checkpoints: Mapping[int, Checkpoint] | None = None,
    progress: Callable[[range], Any] = iter,
    device: str = "cpu",
) -> Iterator[SharedStudents]:
    """Train a shared model for each number of filters in ``options['shared']``, one after another.

    Args:
        dataset: the teacher's responses for all units of a session.
        options: ``shared``, ``widths`` (of which those of the last two layers are used) and those of
            :func:`~v4egg.compact.distillation.train`.
        seed: of all random draws.
        checkpoints: where each model's state is saved, by its number of filters; an existing state is resumed.
        progress: wraps the loop over the steps of an epoch.
        device: where to train.

    Yields:
        Trained models, whose responses are z-scored over the fit images.

    Raises:
        V4eggError: a loss is not finite.
    """
    images, responses = dataset.part("fit")
    targets = (responses - responses.mean(0)) / responses.std(0).clip(1e-6)
    for filters in options["shared"]:
        widths = [filters] * SHARED + list(options["widths"][SHARED:])
        students = SharedStudents(widths, dataset.units, images.shape[-1], seed, options["sample"]).to(device)
        students.calibrate(centred_pixels(images[:CALIBRATION]).to(device))
        checkpoint = checkpoints[filters] if checkpoints else None
        train(students, images, targets, "distillation", options, seed, checkpoint, progress)
        yield students
