"""A small NWB session of known truth, built piece by piece; tests change the piece that they are about."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.core import DynamicTable

from pynwb_parts import picture_container, table
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import count_spikes

HIGH, WIDE = 6, 8
PICTURES = np.random.default_rng(0).integers(0, 256, (4, HIGH, WIDE), "uint8")
NAMES = ("d", "b", "a", "c")  # of the pictures
ORDER = np.array([2, 0, 1, 3, 0, 2, 1, 3])  # picture that each presentation shows
ONSET = 1.0 + 0.3 * np.arange(len(ORDER))
UNITS = 2


def count(picture: int, unit: int) -> int:
    """Spikes of a unit, all of them from 80 to 160 ms after the onset of a picture."""
    return (3 * picture + unit) % 5 + 1


def spikes(unit: int, order: Sequence[int] = ORDER, onset: Sequence[float] = ONSET) -> np.ndarray:
    """Spike times of a unit that responds to presentations."""
    each = [t + np.linspace(0.08, 0.16, count(k, unit)) for k, t in zip(order, onset, strict=True)]
    return np.concatenate(each)


class Session:
    """A session under construction: ``nwb`` takes what a test adds; the methods add the usual pieces."""

    def __init__(self) -> None:
        self.nwb = NWBFile("test", "test", datetime(2024, 1, 1, tzinfo=UTC))
        self.path: Path | None = None

    def units(self, times: Sequence[np.ndarray] | None = None, **columns: Sequence[Any]) -> "Session":
        """Units with these spike times, by default those that respond, and with a value of each column."""
        times = [spikes(unit) for unit in range(UNITS)] if times is None else times
        for name in set(columns) - {"obs_intervals", "electrodes"}:
            self.nwb.add_unit_column(name, name)
        for unit, own in enumerate(times):
            self.nwb.add_unit(spike_times=own, **{name: values[unit] for name, values in columns.items()})
        return self

    def presentations(self, ids: Any, name: str = "presentations", **columns: Any) -> "Session":
        """A table with the usual onsets and stops, unless ``columns`` has others."""
        self.nwb.add_time_intervals(presentations(ids, name, **columns))
        return self

    def images(
        self, names: Sequence[str] = NAMES, order: Sequence[str] | None = None, name: str = "images"
    ) -> "Session":
        """The pictures in a container; ``order`` lists the names in the order that the file states."""
        pictures = dict(zip(names, PICTURES, strict=True))
        self.nwb.add_stimulus_template(picture_container(name, pictures, order))
        return self

    def write(self, folder: Path) -> Path:
        """Write the file, the first time only."""
        if self.path is None:
            self.path = folder / "session.nwb"
            with NWBHDF5IO(self.path, "w") as io:
                io.write(self.nwb)
        return self.path

    def read(self, folder: Path, **columns: Any) -> Recording:
        """Write the file and read it with a column map."""
        return read_nwb(self.write(folder), "s1", columns={"axes": "yx", **columns})


def presentations(ids: Any, name: str = "presentations", **columns: Any) -> DynamicTable:
    """A table of intervals with the usual onsets and stops, unless ``columns`` has others."""
    times = {"start_time": ONSET, "stop_time": ONSET + 0.2}
    stimuli = {} if ids is None else {"stimulus_id": ids}
    return table(name, {**times, **stimuli, **columns})


def named(order: Sequence[int] = ORDER) -> list[str]:
    """The names of the pictures shown."""
    return [NAMES[picture] for picture in order]


def assert_shown(recording: Recording, order: Sequence[int] = ORDER) -> None:
    """Each presentation shows the picture that it showed."""
    found = recording.images[recording.trials["image"]]
    np.testing.assert_array_equal(found, np.broadcast_to(PICTURES[np.asarray(order)][:, None], found.shape))


def counted(recording: Recording) -> np.ndarray:
    """Spikes in the response window, (presentation, unit) in the order of the onsets."""
    counts = count_spikes(recording)
    image = recording.trials["image"].to_numpy()
    repeat = [int((image[:row] == one).sum()) for row, one in enumerate(image)]
    return counts[image, repeat]


def true_counts(order: Sequence[int] = ORDER, units: int = UNITS) -> np.ndarray:
    """What :func:`counted` has to be for units that respond."""
    return np.array([[count(picture, unit) for unit in range(units)] for picture in order], float)
