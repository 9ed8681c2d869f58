"""The contract of every reader: a session's images and units, with either spikes and trials, or spike counts."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.io import stores


@dataclass
class Recording:
    """The recording of one session.

    Attributes:
        session: the session's id, such as ``s190923``.
        images: uint8 array (image, channel, y, x), 1 or 3 channels, 0-255.
        units: one row per unit, indexed by unit ids such as ``s190923-u007``; other columns are free.
        image_ids: the images' names, in the order of ``images``.
        trials: columns ``image`` (position on the image axis), ``onset`` and ``offset`` (s), or None.
        spikes: unit id -> spike times (s, ascending), or None.
        counts: float32 array (image, repeat, unit), spikes per window, NaN-padded, for sources without spikes.
        repeats_averaged: how many trials each entry of ``counts`` is the mean of (1: single trials).
        attrs: further facts about the source, kept as attributes of the store.

    Raises:
        V4eggError: there are no images, units or spikes, the images are no uint8 pictures, both or neither of spikes
            (with trials) and counts are given, or the counts do not fit the images and units.

    Example:
        >>> recording = Recording(
        ...     session="s1",
        ...     images=np.zeros((2, 1, 8, 8), "uint8"),
        ...     units=pd.DataFrame(index=["s1-u000"]),
        ...     image_ids=["a", "b"],
        ...     counts=np.ones((2, 3, 1), "float32"),
        ... )
        >>> recording.counts.shape
        (2, 3, 1)
    """

    session: str
    images: np.ndarray
    units: pd.DataFrame
    image_ids: list[str]
    trials: pd.DataFrame | None = None
    spikes: dict[str, np.ndarray] | None = None
    counts: np.ndarray | None = None
    repeats_averaged: int = 1
    attrs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise V4eggError(f"session {self.session}: no images; give the session its images or leave it out")
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.images.shape[1] not in (1, 3):
            raise V4eggError(
                f"session {self.session}: images are {self.images.dtype} {self.images.shape}, "
                "expected uint8 (image, 1 or 3 channels, y, x)"
            )
        if len(self.units) == 0:
            raise V4eggError(f"session {self.session}: no units; give the session its units or leave it out")
        if (self.spikes is None) == (self.counts is None):
            raise V4eggError(f"session {self.session}: a recording has either spikes (with trials) or counts")
        if self.spikes is not None and not any(len(times) for times in self.spikes.values()):
            raise V4eggError(f"session {self.session}: no unit has a spike; check the column map of the units table")
        if self.counts is not None and self.counts.shape[::2] != (len(self.images), len(self.units)):
            raise V4eggError(
                f"session {self.session}: counts of shape {self.counts.shape} (image, repeat, unit) do not fit "
                f"{len(self.images)} images and {len(self.units)} units"
            )

    def save(self, path: str | Path, **provenance: Any) -> None:
        """Write the recording to a store of kind ``recording``.

        Args:
            path: the Zarr store to write.
            provenance: ``config``, ``seed`` and ``inputs`` of :func:`v4egg.io.stores.save`.
        """
        variables: dict[Hashable, tuple[str | tuple[str, ...], np.ndarray]] = {
            "images": (("image", "channel", "y", "x"), self.images)
        }
        if self.counts is not None:
            variables["counts"] = (("image", "repeat", "unit"), self.counts)
        if self.spikes is not None and self.trials is not None:
            times = [np.asarray(self.spikes[unit], "float64") for unit in self.units.index]
            variables |= {
                "trial_image": ("trial", self.trials["image"].to_numpy("int64")),
                "trial_onset": ("trial", self.trials["onset"].to_numpy("float64")),
                "trial_offset": ("trial", self.trials["offset"].to_numpy("float64")),
                "spike_times": ("spike", np.concatenate(times)),
                "spike_count": ("unit", np.array([len(t) for t in times], "int64")),
            }
        coords: dict[str, Any] = {"image": self.image_ids, "unit": list(self.units.index)}
        coords |= {f"unit_{name}": ("unit", column.to_numpy()) for name, column in self.units.items()}
        attrs = {**self.attrs, "session": self.session, "repeats_averaged": self.repeats_averaged}
        stores.save(xr.Dataset(variables, coords, attrs), path, "recording", **provenance)


def load_recording(path: str | Path) -> Recording:
    """Read a recording from a store of kind ``recording``.

    Raises:
        V4eggError: there is no such store, or it is of another kind or version.
    """
    dataset = stores.load(path, "recording").load()
    columns = {str(n).removeprefix("unit_"): c.values for n, c in dataset.coords.items() if str(n).startswith("unit_")}
    units = pd.DataFrame(columns, index=pd.Index(dataset["unit"].values.astype(object), name="unit"))
    trials = spikes = counts = None
    if "spike_times" in dataset:
        names = {"trial_image": "image", "trial_onset": "onset", "trial_offset": "offset"}
        trials = pd.DataFrame({new: dataset[old].values for old, new in names.items()})
        ends = np.cumsum(dataset["spike_count"].values)
        spikes = dict(zip(units.index, np.split(dataset["spike_times"].values, ends[:-1]), strict=True))
    else:
        counts = dataset["counts"].values
    return Recording(
        session=dataset.attrs["session"],
        images=dataset["images"].values,
        units=units,
        image_ids=[str(name) for name in dataset["image"].values],
        trials=trials,
        spikes=spikes,
        counts=counts,
        repeats_averaged=int(dataset.attrs["repeats_averaged"]),
    )
