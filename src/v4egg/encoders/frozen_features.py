"""What a frozen network says of a session's images, asked once: heads then train on it for a twentieth of the cost."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from v4egg.device import autocast
from v4egg.encoders.backbones import completed, make_backbone
from v4egg.images.processing import Preprocess, to_float
from v4egg.io import stores
from v4egg.seeding import torch_generator

BATCH = 8  # small enough for the processor's cache: three times as fast as 64


@torch.no_grad()
def frozen_features(
    images: np.ndarray,
    backbone: Mapping[str, Any],
    *,
    size: int,
    views: int = 1,
    shift: float = 0.0,
    key: tuple = (),
    prior: str | Path | None = None,
    device: str = "cpu",
    progress: Callable = iter,
) -> np.ndarray:
    """Features float16 (n, view, channel, y, x) of images uint8 (n, c, y, x).

    Args:
        backbone: name and options, see :data:`v4egg.encoders.backbones.BACKBONES`.
        size: pixels a side at which the network sees the images.
        views: view 0 is the image, the others are shifted copies (augmentation).
        shift: largest shift, as a share of the image's side.
        key: names the random shifts.
        prior: store of the workflow's prior, for the backbone that is its network.
    """
    network = make_backbone(**completed(backbone, prior))
    network.load_pretrained(prior)
    mean, std = network.statistics
    preprocess = Preprocess(size, len(mean), mean, std).to(device)
    network = network.to(device, memory_format=torch.channels_last)
    largest = round(shift * size)
    shifts = torch.randint(-largest, largest + 1, (len(images), views, 2), generator=torch_generator(*key, "shifts"))
    shifts[:, 0] = 0
    parts = []
    for start in progress(range(0, len(images), BATCH)):
        inputs = preprocess(to_float(images[start : start + BATCH]).to(device))
        copies = [_shifted(inputs, shifts[start : start + BATCH, view], largest) for view in range(views)]
        with autocast(device):
            seen = [network(copy.contiguous(memory_format=torch.channels_last)) for copy in copies]
        parts.append(torch.stack(seen, 1).half().cpu().numpy())
    return np.concatenate(parts)


def load_features(path: str | Path) -> np.ndarray:
    """The features (image, view, feature, y, x) in a store of kind ``features``."""
    return stores.load(path, "features")["features"].values


def _shifted(images: Tensor, shifts: Tensor, largest: int) -> Tensor:
    """Each image moved by its own (rows, columns), edges repeated."""
    if not shifts.any():
        return images
    size = images.shape[-1]
    padded = F.pad(images, (largest,) * 4, mode="replicate")
    corners = (shifts + largest).tolist()
    return torch.stack([image[:, r : r + size, c : c + size] for image, (r, c) in zip(padded, corners, strict=True)])
