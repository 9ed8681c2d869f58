"""Spike times in a plain folder: a table, an array per unit, or an array of times beside an array of units."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from v4egg.errors import V4eggError
from v4egg.images.names import natural_order
from v4egg.io.tables import SUFFIXES, column_of, numbers, read_table, texts
from v4egg.recordings.clock import cleaned
from v4egg.recordings.readers.folder_layout import Layout

_TIMES = ("time", "times", "spike_times")
_UNITS = ("unit", "units", "spike_units", "spike_clusters")
_ENOUGH = 10  # spikes, from which whole numbers are no chance


class FolderSpikes(Mapping[str, np.ndarray]):
    """Spike times (s, ascending) by unit, read when they are asked for where each unit has a file of its own.

    Args:
        stored: unit -> a function that returns its times as the file holds them.
        rate: units of these times per second.
    """

    def __init__(self, stored: Mapping[str, Callable[[], np.ndarray]], rate: float):
        self._stored, self._rate = dict(stored), rate

    def __getitem__(self, unit: str) -> np.ndarray:
        return cleaned(self.stored(unit))

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def stored(self, unit: str) -> np.ndarray:
        """The times of a unit in the order of the file, float64 (spike,) in s."""
        return self._stored[unit]().astype("float64") / self._rate

    def of(self, names: Mapping[str, str]) -> "FolderSpikes":
        """The same times under other names.

        Args:
            names: new name -> name; a unit that is not there has no spikes.
        """
        empty = np.empty(0)
        return FolderSpikes({new: self._stored.get(old, lambda: empty) for new, old in names.items()}, self._rate)


def read_spikes(layout: Layout, columns: Mapping[str, Any]) -> FolderSpikes:
    """The spikes of a folder by the names that its files give units, in natural order.

    Args:
        layout: where they are.
        columns: ``unit`` and ``time``, the columns of a table; and ``sampling_rate``, units of the times per second.

    Raises:
        V4eggError: the files are unreadable or of another form, or all times are whole numbers without a unit.
    """
    path = layout.spikes
    if path is None:
        raise V4eggError(f"{layout.folder}: there are no spikes")
    if path.suffix.lower() in SUFFIXES:
        stored = _of_table(path, columns)
    elif path.suffix == ".npz":
        stored = _of_archive(path)
    elif path.suffix == ".npy" and layout.spike_units is not None:
        units = load_array(layout.spike_units)
        stored = _of_two_arrays(path, load_array(path), [str(value) for value in units.ravel().tolist()])
    elif path.is_dir():
        stored = _of_folder(path)
    else:
        raise V4eggError(f"{path}: no spikes that can be read; give a table, .npz, .npy or a folder of .npy")
    if not stored:
        raise V4eggError(f"{path}: there are no spikes in it")
    _check_unit_of_times(path, stored, columns.get("sampling_rate"))
    return FolderSpikes({name: stored[name] for name in natural_order(stored)}, columns.get("sampling_rate") or 1.0)


def load_array(path: Path) -> np.ndarray:
    """Read the array in a .npy file, not into memory but as it is used; nothing is unpickled.

    Raises:
        V4eggError: the file is damaged, or holds Python objects.
    """
    try:
        loaded: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise V4eggError(
            f"{path}: not a readable array ({' '.join(str(error).split())[:80]}); save plain numbers, for objects "
            "such as arrays of several lengths are not read"
        ) from error
    return loaded


def _of_table(path: Path, columns: Mapping[str, Any]) -> dict[str, Callable[[], np.ndarray]]:
    table = read_table(path, long=columns["time"])
    units = column_of(table, columns["unit"], path, "columns.unit")
    times = numbers(column_of(table, columns["time"], path, "columns.time"), path)
    codes, names = pd.factorize(units)
    if (codes < 0).any() or "" in (words := texts(pd.Series(names))):
        raise V4eggError(f"{path}: {columns['unit']} is empty in some rows; correct them")
    return _divided(times, codes, words)


def _of_two_arrays(path: Path, times: np.ndarray, units: list[str]) -> dict[str, Callable[[], np.ndarray]]:
    times = times.ravel()
    if len(times) != len(units):
        raise V4eggError(f"{path}: {len(times)} times, and the units of {len(units)}; give one for each spike")
    _check_times(path, "times", times)
    codes, names = pd.factorize(np.array(units, dtype=object))
    return _divided(np.asarray(times), codes, list(names))


def _divided(times: np.ndarray, codes: np.ndarray, names: list[Any]) -> dict[str, Callable[[], np.ndarray]]:
    """Times by unit, in the order of the file."""
    order = np.argsort(codes, kind="stable")
    parts = np.split(times[order], np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    return {str(name): _held(part) for name, part in zip(names, parts, strict=True)}


def _held(times: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: times


def _of_archive(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError) as error:
        raise V4eggError(
            f"{path}: not readable ({' '.join(str(error).split())[:80]}); save an array of times per unit: "
            "np.savez(path, **{unit: times})"
        ) from error
    times, units = ([name for name in arrays if name in known] for known in (_TIMES, _UNITS))
    if len(arrays) == 2 and len(times) == len(units) == 1:
        return _of_two_arrays(path, arrays[times[0]], [str(value) for value in arrays[units[0]].ravel().tolist()])
    for name, array in arrays.items():
        _check_times(path, name, array)
    lengths = {len(array) for array in arrays.values()}
    if len(arrays) == 2 and len(lengths) == 1 and len({array.dtype.kind for array in arrays.values()}) == 2:
        raise V4eggError(
            f"{path}: {' and '.join(arrays)} are as long as each other; name them time and unit if they are that, and "
            "save times as floats if each is the times of a unit"
        )
    return {name: _held(array) for name, array in arrays.items()}


def _of_folder(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    files = {file.stem: file for file in path.glob("*.npy")}
    together = sorted(set(files) & {*_TIMES[2:], *_UNITS[2:]})
    if together:
        raise V4eggError(
            f"{path}: a folder of a spike sorter, with {together[0]}.npy of all units; set columns.spikes to "
            f"{path.name}/spike_times.npy and columns.spike_units to {path.name}/spike_clusters.npy"
        )
    for file in files.values():
        _check_times(file, file.stem, load_array(file))
    return {name: partial(load_array, file) for name, file in files.items()}


def _check_times(path: Path, name: str, times: np.ndarray) -> None:
    if times.ndim != 1 or times.dtype.kind not in "iuf":
        raise V4eggError(
            f"{path}: {name} is an array of {times.dtype} with shape {times.shape}; give the times of a unit in s, "
            "(spike,)"
        )


def _check_unit_of_times(path: Path, stored: Mapping[str, Callable[[], np.ndarray]], rate: float | None) -> None:
    """Refuse times that are whole numbers, which seconds are not."""
    if rate is not None:
        return
    spikes = 0
    for times in stored.values():
        found = times()
        spikes += len(found)
        if found.dtype.kind == "f" and (found[np.isfinite(found)] % 1 != 0).any():
            return
    if spikes >= _ENOUGH:
        raise V4eggError(
            f"{path}: all spike times are whole numbers; set columns.sampling_rate to the samples per second if they "
            "are numbers of samples, to 1000 if they are ms"
        )
