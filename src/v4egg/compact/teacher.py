"""The teacher: an ensemble of encoders whose responses to many images students are fitted to, computed once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.compact.views import draw_view, duplicate_groups, make_view, split_groups
from v4egg.device import autocast
from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, resize, to_channels, to_float, to_uint8
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint

BATCH = 16  # small enough for the processor's cache where a frozen network takes images of 224 px
SAVE_EVERY = 64  # batches between two states of the checkpoint


@dataclass
class DistillationDataset:
    """A teacher's responses to views of pictures.

    Attributes:
        images: uint8 (n, 3, size, size), at the size that students take.
        responses: of the teacher, float32 (n, U).
        split: fit, pruning or test (n,).
        duplicate_group: label of each image's group of near-duplicates (n,); a group belongs to one split.
        units: ids of the U units.

    Raises:
        V4eggError: a group belongs to two splits.

    Example:
        >>> images, responses = np.zeros((3, 3, 8, 8), np.uint8), np.zeros((3, 2), np.float32)
        >>> split = np.array(["fit", "pruning", "test"])
        >>> data = DistillationDataset(images, responses, split, np.arange(3), ["s1-u000", "s1-u001"])
        >>> data.part("fit")[1].shape, data.of(["s1-u001"]).units
        ((1, 2), ['s1-u001'])
    """

    images: np.ndarray
    responses: np.ndarray
    split: np.ndarray
    duplicate_group: np.ndarray
    units: list[str]

    def __post_init__(self) -> None:
        for one, other in (("fit", "pruning"), ("fit", "test"), ("pruning", "test")):
            groups = self.duplicate_group
            shared = np.intersect1d(groups[self.split == one], groups[self.split == other])
            if len(shared):
                raise V4eggError(
                    f"teacher: pictures of group {shared[0]} are in both '{one}' and '{other}'; run teach again"
                )

    def part(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, 3, size, size) and responses (n, U) of one split."""
        rows = self.split == split
        return self.images[rows], self.responses[rows]

    def of(self, units: Sequence[str]) -> "DistillationDataset":
        """The dataset for some of the units."""
        columns = [self.units.index(unit) for unit in units]
        return DistillationDataset(
            self.images, self.responses[:, columns], self.split, self.duplicate_group, list(units)
        )


def teach(
    teacher: Ensemble,
    units: Sequence[str],
    pictures: np.ndarray,
    sources: Sequence[str],
    sessions: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
    device: str = "cpu",
) -> xr.Dataset:
    """Compute the teacher's responses to views of pictures, and to the test images of sessions.

    Args:
        teacher: the ensemble.
        units: ids of the U units that get students.
        pictures: uint8 (n, c, size, size), none of them a test image of any session.
        sources: source of each picture, see :func:`v4egg.images.pool.image_pool`.
        sessions: session -> its test images, uint8 (n, c, y, x). They are used for scores only.
        options: ``size`` (side in pixels of the students' images), ``views`` of each picture in the fit split,
            fractions ``pruning`` and ``test`` of the pictures (their only view is the picture itself), and those of
            :func:`v4egg.compact.views.draw_view`.
        seed: of all random draws.
        checkpoint: where the state is saved; an existing state is resumed.
        progress: wraps the loop over batches, such as a progress bar.
        device: where to compute.

    Returns:
        A dataset of kind ``teacher``.

    Raises:
        V4eggError: a test image of a session is among the pictures.
    """
    groups = duplicate_groups(pictures, sources)
    split = split_groups(groups, options, seed)
    view_keys = [(i, view) for i, name in enumerate(split) for view in range(options["views"] if name == "fit" else 1)]

    def views(keys: Sequence[tuple[int, int]]) -> Tensor:
        placements = [(i, draw_view(i, view, pictures.shape[-1], options, seed)) for i, view in keys]
        return torch.stack([make_view(pictures[i], view) for i, view in placements])

    network, index = teacher.to(device), teacher.index(units).to(device)
    responses = _responses(network, index, view_keys, views, checkpoint, progress, device)
    images = [
        to_uint8(resize(to_channels(views(view_keys[i : i + 256]), 3), options["size"]))
        for i in range(0, len(view_keys), 256)
    ]
    test_images = np.concatenate([conform(block, pictures.shape[-1], pictures.shape[1]) for block in sessions.values()])
    _refuse_shared(pictures, test_images)
    rows = list(range(len(test_images)))
    session_response = _responses(
        network, index, rows, lambda part: to_float(test_images[part]), None, progress, device
    )
    variables: dict[str, Any] = {
        "images": (("image", "channel", "y", "x"), np.concatenate(images)),
        "response": (("image", "unit"), responses),
        "split": ("image", np.array([split[i] for i, _ in view_keys], object)),
        "duplicate_group": ("image", np.array([groups[i] for i, _ in view_keys], np.int64)),
        "session_response": (("shown", "unit"), session_response),
    }
    session_of = np.repeat(np.array(list(sessions), object), [len(block) for block in sessions.values()])
    coords: dict[str, Any] = {"unit": np.array(units, object), "session": ("shown", session_of)}
    attrs = {"parameters": sum(parameter.numel() for parameter in teacher.parameters())}
    return xr.Dataset(variables, coords, attrs)


def load_distillation_dataset(path: str | Path, units: Sequence[str] | None = None) -> DistillationDataset:
    """Load the :class:`DistillationDataset` of a ``teacher`` store.

    Args:
        path: the store.
        units: ids of the units to load; None for all.

    Raises:
        V4eggError: there is no such store or unit, or a group of near-duplicates belongs to two splits.
    """
    store = stores.load(path, "teacher").load()
    all_units = [str(unit) for unit in store["unit"].values]
    missing = [unit for unit in units or () if unit not in all_units]
    if missing:
        raise V4eggError(f"{path}: the teacher has no unit {missing[0]}; it has {all_units[0]} to {all_units[-1]}")
    dataset = DistillationDataset(
        images=store["images"].values,
        responses=store["response"].values,
        split=store["split"].values,
        duplicate_group=store["duplicate_group"].values,
        units=all_units,
    )
    return dataset if units is None else dataset.of(units)


@torch.no_grad()
def _responses(
    teacher: Ensemble,
    index: Tensor,
    keys: Sequence[Any],
    images_of: Callable[[Sequence[Any]], Tensor],
    checkpoint: Checkpoint | None,
    progress: Callable[[range], Any],
    device: str,
) -> np.ndarray:
    """The teacher's responses (n, U) to the images of n keys, batch by batch; an existing state is resumed."""
    state = (checkpoint.load() if checkpoint else None) or {"responses": []}
    parts = list(state["responses"])
    for number in progress(range(len(parts), -(-len(keys) // BATCH))):
        images = images_of(keys[number * BATCH : (number + 1) * BATCH]).to(device)
        with autocast(device):
            parts.append(teacher(images, index).float().cpu())
        if checkpoint and (number + 1) % SAVE_EVERY == 0:
            checkpoint.save({"responses": parts})
    return torch.cat(parts).numpy()


def _refuse_shared(pictures: np.ndarray, test_images: np.ndarray) -> None:
    """Check that no picture is a test image; the image pool should have left them out."""
    contents = {picture.tobytes() for picture in pictures}
    if any(image.tobytes() in contents for image in test_images):
        raise V4eggError("teacher: a test image of a session is among the pictures that students learn from")
