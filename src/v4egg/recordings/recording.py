"""The contract of every reader: a session's images and units, with either spikes and trials, or spike counts."""

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings import intervals

SPIKES_PER_WINDOW = "spikes per window"


@dataclass
class Recording:
    """The recording of one session.

    Attributes:
        session: the session's id, such as ``s190923``.
        images: uint8 array (image, channel, y, x), 1 or 3 channels, 0-255.
        units: one row per unit, indexed by unit ids such as ``s190923-u007``; other columns are free.
        image_ids: the images' names, in the order of ``images``.
        trials: columns ``image`` (position on the image axis), ``onset`` and ``offset`` (s; NaN: unknown), or None.
            Blank presentations and those that a filter removed are not among them.
        spikes: unit id -> spike times (s, ascending), or None. Any mapping that reads a unit's times when asked will
            do, so that memory does not grow with the session.
        counts: float32 array (image, repeat, unit) in ``response_unit``, for sources without spikes; NaN where an image
            has fewer repeats and where a unit was not recorded.
        repeats_averaged: how many trials each entry of ``counts`` is the mean of (1: single trials).
        attrs: further facts about the source, kept as attributes of the store.
        recorded: unit id -> float64 (interval, 2), start and stop in s, ascending and disjoint: when the unit was
            recorded, without the times that the source calls invalid. None: always. For spikes only.
        left_out: reason -> number of presentations that the reader left out, such as ``{"stimulus is blank": 12}``.
        warnings: what a user should look at, one line each.
        response_unit: unit of the responses: spikes per window, or words for what is no count of spikes, such as
            ``normalized multi-unit activity``. Such responses may be negative, and what needs counts refuses them.

    Raises:
        V4eggError: there are no images, units or spikes, the images are no uint8 pictures, both or neither of spikes
            (with trials) and counts are given, the counts do not fit the images and units or are negative or infinite,
            or the intervals do not fit the units or are not ascending and disjoint.

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
    spikes: Mapping[str, np.ndarray] | None = None
    counts: np.ndarray | None = None
    repeats_averaged: int = 1
    attrs: dict[str, Any] = field(default_factory=dict)
    recorded: Mapping[str, np.ndarray] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    response_unit: str = SPIKES_PER_WINDOW

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
        self._check_values()
        self._check_recorded()

    def _check_values(self) -> None:
        """Refuse responses that are no counts and do not say so."""
        if self.spikes is not None and self.response_unit != SPIKES_PER_WINDOW:
            raise V4eggError(f"session {self.session}: spikes are counted, and their unit is not {self.response_unit}")
        if self.counts is None:
            return
        if np.isinf(self.counts).any():
            raise V4eggError(f"session {self.session}: infinite responses; mark what is missing with NaN")
        if self.response_unit == SPIKES_PER_WINDOW and (self.counts < 0).any():  # false for NaN
            raise V4eggError(
                f"session {self.session}: {int((self.counts < 0).sum())} counts are negative; mark what is missing "
                "with NaN, or set response_unit if responses are no counts of spikes"
            )

    def _check_recorded(self) -> None:
        """Refuse intervals that a window could be compared with wrongly."""
        if self.recorded is None:
            return
        where = f"session {self.session}: recorded intervals"
        if self.spikes is None:
            raise V4eggError(f"{where} belong to spikes; mark what was not recorded with NaN in the counts")
        for unit in self.units.index:
            if unit not in self.recorded:
                raise V4eggError(f"{where} lack unit {unit}; give every unit its intervals, -inf to inf for always")
            given = np.asarray(self.recorded[unit], "float64")
            if not np.array_equal(given, intervals.merge(given)):
                raise V4eggError(f"{where} of unit {unit} are not ascending and disjoint; merge them")

    def save(self, path: str | Path, **provenance: Any) -> None:
        """Write the recording to a store of kind ``recording``, the spikes unit by unit.

        Args:
            path: the Zarr store to write.
            provenance: ``config``, ``seed`` and ``inputs`` of :func:`v4egg.io.stores.save`.
        """
        variables: dict[Hashable, tuple[str | tuple[str, ...], np.ndarray]] = {
            "images": (("image", "channel", "y", "x"), self.images)
        }
        streamed = {}
        if self.counts is not None:
            variables["counts"] = (("image", "repeat", "unit"), self.counts)
        if self.spikes is not None and self.trials is not None:
            spikes, units = self.spikes, list(self.units.index)
            variables |= {
                "trial_image": ("trial", self.trials["image"].to_numpy("int64")),
                "trial_onset": ("trial", self.trials["onset"].to_numpy("float64")),
                "trial_offset": ("trial", self.trials["offset"].to_numpy("float64")),
                "spike_count": ("unit", np.array([len(spikes[unit]) for unit in units], "int64")),
            }
            streamed["spike_times"] = (np.asarray(spikes[unit], "float64") for unit in units)
        if self.recorded is not None:
            each = [np.asarray(self.recorded[unit], "float64").reshape(-1, 2) for unit in self.units.index]
            variables["recorded"] = (("interval", "edge"), np.concatenate(each))
            variables["recorded_count"] = ("unit", np.array([len(rows) for rows in each], "int64"))
        coords: dict[str, Any] = {"image": self.image_ids, "unit": list(self.units.index)}
        # quoted, because xarray cannot mark a coordinate with a space in its name, and Zarr divides names at slashes
        coords |= {f"unit_{quote(str(name), safe='')}": ("unit", c.to_numpy()) for name, c in self.units.items()}
        attrs = {
            **self.attrs,
            "session": self.session,
            "repeats_averaged": self.repeats_averaged,
            "response_unit": self.response_unit,
            "left_out": json.dumps(self.left_out),
            "warnings": json.dumps(self.warnings),
        }
        stores.save(xr.Dataset(variables, coords, attrs), path, "recording", streamed=streamed, **provenance)


class StoredSpikes(Mapping[str, np.ndarray]):
    """The spike times of a store by unit, each read from disk when it is asked for.

    Args:
        times: variable ``spike_times`` of a store, opened and not loaded.
        units: unit ids, in the order of the store.
        count: int64 (unit,), number of spikes of each unit.
    """

    def __init__(self, times: xr.DataArray, units: list[str], count: np.ndarray):
        stop = np.cumsum(count)
        self._times = times
        self._slices = {unit: slice(int(b - n), int(b)) for unit, n, b in zip(units, count, stop, strict=True)}

    def __getitem__(self, unit: str) -> np.ndarray:
        return self._times[self._slices[unit]].values

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)


def load_recording(path: str | Path) -> Recording:
    """Read a recording from a store of kind ``recording``; spike times are read from it when they are used.

    Raises:
        V4eggError: there is no such store, or it is of another kind or version.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "s1.zarr"
        >>> images, units = np.zeros((2, 1, 8, 8), "uint8"), pd.DataFrame(index=["s1-u000"])
        >>> Recording("s1", images, units, ["a", "b"], counts=np.ones((2, 3, 1), "float32")).save(path)
        >>> load_recording(path).image_ids
        ['a', 'b']
    """
    opened = stores.load(path, "recording")
    dataset = opened.drop_vars("spike_times", errors="ignore").load()
    prefix = "unit_"
    names = [str(name) for name in dataset.coords if str(name).startswith(prefix)]
    columns = {unquote(name.removeprefix(prefix)): dataset[name].values for name in names}
    units = pd.DataFrame(columns, index=pd.Index(dataset["unit"].values.astype(object), name="unit"))
    trials = spikes = counts = recorded = None
    if "spike_times" in opened:
        trials = pd.DataFrame({name: dataset[f"trial_{name}"].values for name in ("image", "onset", "offset")})
        spikes = StoredSpikes(opened["spike_times"], list(units.index), dataset["spike_count"].values)
    else:
        counts = dataset["counts"].values
    if "recorded" in dataset:
        ends = np.cumsum(dataset["recorded_count"].values)
        recorded = dict(zip(units.index, np.split(dataset["recorded"].values, ends[:-1]), strict=True))
    return Recording(
        session=dataset.attrs["session"],
        images=dataset["images"].values,
        units=units,
        image_ids=[str(name) for name in dataset["image"].values],
        trials=trials,
        spikes=spikes,
        counts=counts,
        repeats_averaged=int(dataset.attrs["repeats_averaged"]),
        recorded=recorded,
        left_out=json.loads(dataset.attrs["left_out"]),
        warnings=json.loads(dataset.attrs["warnings"]),
        response_unit=dataset.attrs["response_unit"],
    )
