"""Outputs of a frozen network for a session's images, computed once, so that training heads costs a twentieth."""

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
    key: tuple[object, ...] = (),
    prior: str | Path | None = None,
    device: str = "cpu",
    progress: Callable[[range], Any] = iter,
) -> np.ndarray:
    """Features float16 (n, view, channel, y, x) of images uint8 (n, c, y, x).

    Args:
        images: uint8 (n, c, y, x).
        backbone: name and options, see :data:`v4egg.encoders.backbones.BACKBONES`.
        size: side in pixels of the network's input.
        views: view 0 is the image, the others are shifted copies (augmentation).
        shift: largest shift, as a share of the image's side.
        key: names the random shifts.
        prior: store of the workflow's prior, for the backbone that is its network.
    """
    network = make_backbone(**completed(backbone, prior))
    network.load_pretrained(prior)
    mean, std = network.statistics
    preprocess = Preprocess(size, len(mean), mean, std).to(device)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
    largest = round(shift * size)
    shifts = torch.randint(-largest, largest + 1, (len(images), views, 2), generator=torch_generator(*key, "shifts"))
    shifts[:, 0] = 0
    parts = []
    for start in progress(range(0, len(images), BATCH)):
        inputs = preprocess(to_float(images[start : start + BATCH]).to(device))
        copies = [_shifted(inputs, shifts[start : start + BATCH, view], largest) for view in range(views)]
        with autocast(device):
            outputs = [network(copy.contiguous(memory_format=torch.channels_last)) for copy in copies]
        parts.append(torch.stack(outputs, 1).half().cpu().numpy())
    return np.concatenate(parts)


def load_features(path: str | Path) -> np.ndarray:
    """Load the features (image, view, feature, y, x), float16, of a store of kind ``features``."""
    return stores.load(path, "features")["features"].values


def _shifted(images: Tensor, shifts: Tensor, largest: int) -> Tensor:
    """Shift each image by (rows, columns); edge pixels are repeated."""
    if not shifts.any():
        return images
    size = images.shape[-1]
    padded = F.pad(images, (largest,) * 4, mode="replicate")
    corners = (shifts + largest).tolist()
    return torch.stack([image[:, r : r + size, c : c + size] for image, (r, c) in zip(padded, corners, strict=True)])
