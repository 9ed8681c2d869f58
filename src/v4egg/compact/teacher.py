"""The teacher: an ensemble of encoders whose responses to many images students learn, asked once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from v4egg.compact.views import draw_view, groups_of, make_view, split_groups
from v4egg.device import autocast
from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, resize, to_channels, to_float, to_uint8
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint

BATCH = 16  # small enough for the processor's cache where a frozen network sees 224 px
SAVED = 64  # batches between two states of the checkpoint


@dataclass
class DistillationDataset:
    """What a teacher said of views of pictures.

    Attributes:
        images: uint8 (n, 3, size, size), as the students see them.
        responses: of the teacher, float32 (n, U).
        split: fit, pruning or test (n,).
        group: label (n,) of what resembles one another; a group lies in one split.
        units: ids of the U units.
    """

    images: np.ndarray
    responses: np.ndarray
    split: np.ndarray
    group: np.ndarray
    units: list[str]

    def __post_init__(self):
        for one, other in (("fit", "pruning"), ("fit", "test"), ("pruning", "test")):
            shared = np.intersect1d(self.group[self.split == one], self.group[self.split == other])
            if len(shared):
                raise V4eggError(
                    f"teacher: pictures of group {shared[0]} are in both '{one}' and '{other}'; run teach again"
                )

    def part(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images and responses of one split."""
        chosen = self.split == split
        return self.images[chosen], self.responses[chosen]

    def of(self, units: Sequence[str]) -> "DistillationDataset":
        """The same for some of the units."""
        columns = [self.units.index(unit) for unit in units]
        return DistillationDataset(self.images, self.responses[:, columns], self.split, self.group, list(units))


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
    progress: Callable = iter,
    device: str = "cpu",
) -> xr.Dataset:
    """A dataset of kind ``teacher``: the teacher's responses to views of pictures, and to test images of sessions.

    Args:
        units: those that get students.
        pictures: uint8 (n, c, size, size), none of them a test image of any session, and where each comes from.
        sessions: session -> its test images uint8 (n, c, y, x). They are only responded to, for scores.
        options: ``size`` (pixels a side that the students see), ``views`` of each picture that fits, the ``pruning``
            and ``test`` shares of the pictures (their views are themselves), and those of a view.
        seed: everything random follows from it.
    """
    groups = groups_of(pictures, sources)
    split = split_groups(groups, options, seed)
    asked = [(i, view) for i, kind in enumerate(split) for view in range(options["views"] if kind == "fit" else 1)]

    def views(rows: Sequence[tuple[int, int]]) -> torch.Tensor:
        drawn = [(i, draw_view(i, view, pictures.shape[-1], options, seed)) for i, view in rows]
        return torch.stack([make_view(pictures[i], how) for i, how in drawn])

    network, index = teacher.to(device), teacher.index(units).to(device)
    responses = _responses(network, index, asked, views, checkpoint, progress, device)
    seen = [
        to_uint8(resize(to_channels(views(asked[i : i + 256]), 3), options["size"])) for i in range(0, len(asked), 256)
    ]
    variables: dict[str, Any] = {
        "images": (("image", "channel", "y", "x"), np.concatenate(seen)),
        "response": (("image", "unit"), responses),
        "split": ("image", np.array([split[i] for i, _ in asked], object)),
        "group": ("image", np.array([groups[i] for i, _ in asked], np.int64)),
    }
    coords = {"unit": np.array(units, object)}
    shown = np.concatenate([conform(images, pictures.shape[-1], pictures.shape[1]) for images in sessions.values()])
    _refuse_shared(pictures, shown)
    rows = list(range(len(shown)))
    found = _responses(network, index, rows, lambda part: to_float(shown[part]), None, progress, device)
    variables["session_response"] = (("shown", "unit"), found)
    coords["session"] = ("shown", np.repeat(np.array(list(sessions), object), [len(i) for i in sessions.values()]))
    attrs = {"parameters": sum(parameter.numel() for parameter in teacher.parameters())}
    return xr.Dataset(variables, coords, attrs)


def load_lessons(path: str | Path, units: Sequence[str] | None = None) -> DistillationDataset:
    """The :class:`DistillationDataset` in a ``teacher`` store, of some units or all.

    Raises:
        V4eggError: there is no such store or unit, or a group of pictures lies in two splits.
    """
    store = stores.load(path, "teacher").load()
    known = [str(unit) for unit in store["unit"].values]
    missing = [unit for unit in units or () if unit not in known]
    if missing:
        raise V4eggError(f"{path}: the teacher has no unit {missing[0]}; it has {known[0]} to {known[-1]}")
    names = ("images", "response", "split", "group")
    lessons = DistillationDataset(*(store[name].values for name in names), known)
    return lessons if units is None else lessons.of(units)


@torch.no_grad()
def _responses(
    teacher: Ensemble,
    index: torch.Tensor,
    asked: Sequence,
    views: Callable[[Sequence], torch.Tensor],
    checkpoint: Checkpoint | None,
    progress: Callable,
    device: str,
) -> np.ndarray:
    """The teacher's responses (n, U) to what is asked, batch by batch; an interrupted run goes on."""
    state = (checkpoint and checkpoint.load()) or {"responses": []}
    parts = list(state["responses"])
    for number in progress(range(len(parts), -(-len(asked) // BATCH))):
        images = views(asked[number * BATCH : (number + 1) * BATCH]).to(device)
        with autocast(device):
            parts.append(teacher(images, index).float().cpu())
        if checkpoint and (number + 1) % SAVED == 0:
            checkpoint.save({"responses": parts})
    return torch.cat(parts).numpy()


def _refuse_shared(pictures: np.ndarray, shown: np.ndarray) -> None:
    """No picture is a test image: the pool leaves them out, and this makes sure."""
    known = {picture.tobytes() for picture in pictures}
    if any(image.tobytes() in known for image in shown):
        raise V4eggError("teacher: a test image of a session is among the pictures that students learn from")
