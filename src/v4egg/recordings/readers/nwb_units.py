"""The units of an NWB file: what is known of each, and its spike times."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from hdmf.common import DynamicTableRegion, VectorIndex
from pynwb import NWBFile
from pynwb.misc import Units

from v4egg.errors import V4eggError
from v4egg.recordings.clock import cleaned
from v4egg.recordings.filters import matches
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import Notes, OpenQuestion, listed
from v4egg.recordings.readers.nwb_file import found, named
from v4egg.recordings.readers.nwb_tables import scalar_columns


class SpikeTimes(Mapping[str, np.ndarray]):
    """Spike times (s, ascending) by unit, each read from the file when it is asked for.

    Args:
        data: times of all units, one after the other, in the file.
        slices: by unit, where its times are.
    """

    def __init__(self, data: Any, slices: Mapping[str, slice]):
        self._place = None
        self._data: Any = data
        if isinstance(data, h5py.Dataset):  # opened anew when asked, so that the file does not stay open
            self._place, self._data = (data.file.filename, data.name), None
        self._slices = dict(slices)

    def __getitem__(self, unit: str) -> np.ndarray:
        return cleaned(self.stored(unit))

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    def stored(self, unit: str) -> np.ndarray:
        """The times of a unit as they are in the file, float64 (spike,)."""
        return self._read(self._slices[unit])

    def ends(self, unit: str) -> np.ndarray:
        """The first and the last time of a unit in the file, float64 (2,); (0,) without any."""
        place = self._slices[unit]
        ends = (place.start, place.stop - 1) if place.stop > place.start else ()
        return np.concatenate([np.empty(0), *(self._read(slice(one, one + 1)) for one in ends)])

    def _read(self, place: slice) -> np.ndarray:
        if self._place is None:
            return np.asarray(self._data[place], "float64")
        filename, name = self._place
        with h5py.File(filename) as file:
            return np.asarray(file[name][place], "float64")

    def of(self, units: Sequence[str]) -> "SpikeTimes":
        """The spike times of some units only."""
        chosen = copy(self)
        chosen._slices = {unit: self._slices[unit] for unit in units}
        return chosen

    def count(self, unit: str) -> int:
        """How many times of a unit are in the file."""
        return self._slices[unit].stop - self._slices[unit].start


@dataclass
class UnitTable:
    """The units of a file.

    Attributes:
        where: path of the table.
        frame: one row per unit, indexed by unit ids; numbers, flags and texts, those of the first electrode included.
        keep: bool (unit,), which units the filter keeps.
        spikes: spike times of all units.
        observed: unit id -> intervals in which it was observed, (interval, 2) in s, or None where the table has none.
    """

    where: str
    frame: pd.DataFrame
    keep: np.ndarray
    spikes: SpikeTimes
    observed: dict[str, np.ndarray] | None

    @property
    def kept(self) -> list[str]:
        """Ids of the units that the filter keeps."""
        return list(self.frame.index[self.keep])


def read_units(path: Path, nwb: NWBFile, session: str, names: Mapping[str, Any], notes: Notes) -> UnitTable:
    """The units of a file, without their spike times.

    Args:
        path: the NWB file, for messages.
        nwb: its content.
        session: session id; unit ids are ``<session>-u<row>`` with the row in the table.
        names: the keys of ``columns``, with defaults.
        notes: of what is taken.

    Raises:
        OpenQuestion: the file has several tables of units.
        V4eggError: there are no units, no spike times, or none that the filter keeps.
    """
    where, table = _choose(path, nwb, names["units"], notes)
    if "spike_times" not in table.colnames:
        raise V4eggError(f"{path}: {where} has no column spike_times, only {listed(table.colnames)}; add spike times")
    frame = scalar_columns(path, where, table)
    electrodes = _first_electrodes(path, where, table)
    frame = frame.join(electrodes[[name for name in electrodes if name not in frame]])
    frame.index = pd.Index([f"{session}-u{row:03d}" for row in range(len(table))], name="unit")
    keep = _kept(path, frame, names["unit_filter"] or {})
    column = table["spike_times"]
    spikes = SpikeTimes(column.target.data, dict(zip(frame.index, _slices(column), strict=True)))
    return UnitTable(where, frame, keep, spikes, _observed(table, list(frame.index)))


def _choose(path: Path, nwb: NWBFile, wanted: str | None, notes: Notes) -> tuple[str, Units]:
    present = {where: table for where, table in found(nwb, Units).items() if len(table)}
    if wanted is not None:
        fitting = named(present, wanted)
        if not fitting:
            raise V4eggError(f"{path}: columns.units names {wanted}; tables of units are {listed(present)}")
    else:
        fitting = {"/units": present["/units"]} if "/units" in present else present
    if not fitting:
        raise V4eggError(f"{path}: /units is absent or empty; give a file with sorted units")
    if len(fitting) > 1:
        answers = [Answer(where, f"{len(table)} units") for where, table in fitting.items()]
        raise OpenQuestion(path, "columns.units", f"it has {len(fitting)} tables of units", answers)
    where, table = next(iter(fitting.items()))
    if wanted is None:
        notes.take("columns.units", where, "the file's units" if where == "/units" else "the only table of units")
    return where, table


def _slices(column: Any) -> list[slice]:
    ends = [int(end) for end in column.data[:]]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _observed(table: Units, ids: Sequence[str]) -> dict[str, np.ndarray] | None:
    if "obs_intervals" not in table.colnames:
        return None
    column = table["obs_intervals"]
    every = np.asarray(column.target.data[:], "float64").reshape(-1, 2)
    return {unit: every[place] for unit, place in zip(ids, _slices(column), strict=True)}


def _kept(path: Path, frame: pd.DataFrame, unit_filter: Mapping[str, Any]) -> np.ndarray:
    keep = np.ones(len(frame), bool)
    for name, wanted in unit_filter.items():
        if name not in frame:
            raise V4eggError(f"{path}: unit_filter names the column {name}; units and electrodes have {listed(frame)}")
        keep &= matches(frame[name].tolist(), wanted)
        if not keep.any():
            present = listed(sorted(map(str, frame[name].unique())))
            raise V4eggError(f"{path}: unit_filter keeps no unit with {name} = {wanted}; present are {present}")
    return keep


def _first_electrodes(path: Path, where: str, units: Units) -> pd.DataFrame:
    """For each unit the scalar columns of its first electrode, missing where it has none."""
    empty = pd.DataFrame(index=range(len(units)))
    if "electrodes" not in units.colnames:
        return empty
    column = units["electrodes"]
    region = column.target if isinstance(column, VectorIndex) else column
    if not isinstance(region, DynamicTableRegion):
        return empty
    rows = np.asarray(region.data[:], "int64")
    places = _slices(column) if column is not region else [slice(row, row + 1) for row in range(len(rows))]
    first = [int(rows[place.start]) if place.stop > place.start else -1 for place in places]
    electrodes = scalar_columns(path, "/general/extracellular_ephys/electrodes", region.table)
    if len(rows) and (rows.max() >= len(electrodes) or rows.min() < 0):
        raise V4eggError(
            f"{path}: {where}/electrodes names row {rows.max()} of {len(electrodes)} electrodes; correct it"
        )
    placed = electrodes.reindex(first)  # -1 is no row: missing
    texts = placed.select_dtypes(exclude=["number", "bool"]).columns
    return placed.fillna(dict.fromkeys(texts, "")).reset_index(drop=True)
