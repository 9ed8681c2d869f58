"""Shared compact models: one small network for all units of a session, with a readout for each.

The first three layers have few filters, as many as are asked for. How well the units are followed tells how much of
their early computation is common (Cowley et al. 2026 shares them among its 219 neurons).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from v4egg.compact.distillation import CALIBRATION, centred_pixels, train
from v4egg.compact.network import STRIDES, CompactNetwork
from v4egg.compact.pruning import r2
from v4egg.compact.students import PIXEL_SCALE, Students, new_network
from v4egg.compact.teacher import DistillationDataset
from v4egg.images.processing import conform
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.responses import Responses
from v4egg.seeding import torch_generator
from v4egg.stats import metrics

SHARED = 3  # layers
BATCH = 32


class SharedStudents(Students):
    """One network whose last map each unit reads out by weights of its own.

    Args:
        widths: filters of the five layers.
        units: ids, for the draws of their readouts.
        size: pixels a side of the images.
    """

    def __init__(self, widths: Sequence[int], units: Sequence[str], size: int, seed: int, sample: float = 1.0):
        super().__init__([new_network(widths, size, STRIDES, seed, "shared")], sample)
        maps, scale = self.readout_weight, float(self.readout_weight.detach().std())
        drawn = [torch.randn(maps.shape, generator=torch_generator(seed, "shared readout", unit)) for unit in units]
        self.readout_weight = nn.Parameter(scale * torch.stack(drawn))
        self.readout_bias = nn.Parameter(torch.zeros(len(units)))

    def forward(self, centred: Tensor) -> Tensor:
        """Responses (B, U) to centred images (B, 3, H, W)."""
        maps = self.maps(centred)[-1].float()
        return torch.einsum("bchw,uchw->bu", maps, self.readout_weight) + self.readout_bias

    @torch.no_grad()
    def networks(self) -> list[CompactNetwork]:
        """A network for each unit; they have all but the readout in common."""
        tensors = {name: parameter.detach() for name, parameter in self.named_parameters()}
        tensors["conv0_weight"] = tensors["conv0_weight"] / PIXEL_SCALE
        readouts = zip(self.readout_weight, self.readout_bias, strict=True)
        return [CompactNetwork({**tensors, "readout_weight": w, "readout_bias": b}) for w, b in readouts]


def shared_models(
    lessons: DistillationDataset,
    images: np.ndarray,
    responses: Responses,
    options: Mapping[str, Any],
    seed: int,
    checkpoints: Mapping[int, Checkpoint] | None = None,
    progress=iter,
    device: str = "cpu",
) -> xr.Dataset:
    """A dataset of kind ``compact_shared``: a model for each number of filters in ``options['shared']``.

    Args:
        lessons: of all units of a session; ``images`` uint8 (n, c, y, x) and ``responses`` are the session's.
        options: ``shared``, ``widths`` (the last two layers' count) and those of :func:`train`.
        checkpoints: where each model's state is kept, by its number of filters.
    """
    fit, targets = lessons.part("fit")
    asked, expected = lessons.part("test")
    mean, deviation = targets.mean(0), targets.std(0).clip(1e-6)
    rows, size = responses.images_of("test"), fit.shape[-1]
    shown = conform(images[rows], size, 3)
    counts = responses.counts_of("test", lessons.units)
    r2s, correlations, sizes = [], [], []
    for filters in options["shared"]:
        widths = [filters] * SHARED + list(options["widths"][SHARED:])
        students = SharedStudents(widths, lessons.units, size, seed, options["sample"]).to(device)
        students.calibrate(centred_pixels(fit[:CALIBRATION]).to(device))
        state = checkpoints[filters] if checkpoints else None
        train(students, fit, (targets - mean) / deviation, "distillation", options, seed, state, progress)
        r2s.append(r2(_responses(students, asked), expected))
        correlations.append(metrics.correlation_to_average(counts, _responses(students, shown)))
        sizes.append(sum(parameter.numel() for parameter in students.parameters()))
    variables = {
        "r2_to_teacher": (("shared", "unit"), r2s),
        "correlation_to_average": (("shared", "unit"), correlations),
        "parameters": ("shared", sizes),
    }
    coords = {"shared": list(options["shared"]), "unit": lessons.units}
    return xr.Dataset(variables, coords, {"session": responses.session})


@torch.no_grad()
def _responses(students: SharedStudents, images: np.ndarray) -> np.ndarray:
    device = students.readout_bias.device
    parts = [students(centred_pixels(images[i : i + BATCH]).to(device)) for i in range(0, len(images), BATCH)]
    return torch.cat(parts).cpu().numpy()
