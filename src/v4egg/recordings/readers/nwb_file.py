"""Opening an NWB file, what lies where in it, and the questions that its layout leaves open."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
from pynwb import NWBHDF5IO, NWBFile

from v4egg.errors import V4eggError
from v4egg.recordings.readers.nwb_zarr import nothing_unpickled, zarr_io

Item = TypeVar("Item")


@contextmanager
def opened(path: Path) -> Iterator[NWBFile]:
    """Open an NWB file (HDF5, or a Zarr folder) without reading its data.

    Args:
        path: the file or folder.

    Raises:
        V4eggError: the file is missing, cut off, of another format, or not readable as NWB.
    """
    if not path.exists():
        raise V4eggError(f"{path}: no such file; correct the path of the session's NWB file")
    if path.is_file() and not h5py.is_hdf5(path):
        raise V4eggError(f"{path}: not an HDF5 file, or cut off; give an NWB file or fetch it again")
    opener = zarr_io(path) if path.is_dir() else NWBHDF5IO
    with _readable(path), nothing_unpickled(path):
        io = opener(str(path), mode="r", load_namespaces=True)
    with io, nothing_unpickled(path):
        with _readable(path), nothing_unpickled(path):
            nwb = io.read()
        yield nwb


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except V4eggError:
        raise
    except Exception as error:  # a damaged file fails in h5py or in hdmf, with many types
        raise V4eggError(f"{path}: not a readable NWB file ({_short(error)}); fetch or export it again") from error


def found(nwb: NWBFile, kind: type[Item] | tuple[type[Item], ...]) -> dict[str, Item]:
    """All objects of a class in a file, by their path such as ``/stimulus/templates/images``, sorted by it."""
    objects = {path_of(nwb, child): child for child in nwb.all_children() if isinstance(child, kind)}
    return {path: objects[path] for path in sorted(objects)}


def path_of(nwb: NWBFile, item: Any) -> str:
    """Where an object lies in its file, such as ``/intervals/trials``."""
    return str(nwb.read_io.manager.get_builder(item).path).removeprefix("root") or "/"


def named(objects: Mapping[str, Item], wanted: str) -> dict[str, Item]:
    """Of objects by path, those that a user means: the one with that path, else all whose path ends so.

    Example:
        >>> list(named({"/intervals/trials": 1, "/processing/task/trials": 2}, "trials"))
        ['/intervals/trials', '/processing/task/trials']
        >>> list(named({"/intervals/trials": 1, "/processing/task/trials": 2}, "task/trials"))
        ['/processing/task/trials']
    """
    path = "/" + wanted.strip("/")
    if path in objects:
        return {path: objects[path]}
    return {key: item for key, item in objects.items() if key.endswith(path)}


def _short(error: Exception) -> str:
    """What went wrong, and with which object: hdmf puts all that it knows of the object before the reason."""
    place = re.match(r"\(root(/\S+)", str(error))
    reason = error.__cause__ or error
    text = f"{type(reason).__name__}: {' '.join(str(reason).split())[:120]}"
    return f"{place[1]}: {text}" if place else text
