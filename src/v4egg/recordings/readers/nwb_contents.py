"""What an NWB file holds, in facts for people: its tables and columns, its images, its units."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.common import DynamicTable
from pynwb import NWBFile

from v4egg.errors import V4eggError
from v4egg.images.files import walk_image_files
from v4egg.recordings.filters import is_missing
from v4egg.recordings.readers import nwb_tables
from v4egg.recordings.readers.description import Column, ImageSet, Table, UnitFacts
from v4egg.recordings.readers.nwb_file import found
from v4egg.recordings.readers.nwb_images import ImageSource, containers, folder_source, source_of
from v4egg.recordings.readers.nwb_tables import columns_of, plain
from v4egg.recordings.readers.nwb_units import UnitTable

EXAMPLES, _BEGINNING = 3, 50  # values that are shown, of those at the beginning
FEW = 6  # different values that are listed with their numbers
_ROWS = 200_000  # of a column, beyond which only its beginning is read
_SAMPLE, _SAMPLE_BYTES = 50, 2**26  # images that are looked at, at most
_LONG = 30  # characters of a value
_FOLDERS = 100  # folders beside the file that are looked into


def is_nwb(path: Path) -> bool:
    """Whether a file or a folder is an NWB file, whole or damaged, or claims to be one by its suffix."""
    if path.is_dir():
        marks = [path / name for name in (".zattrs", "zarr.json") if (path / name).is_file()]
        return any("nwb_version" in mark.read_text("utf-8", "replace") for mark in marks)
    if path.suffix.lower() == ".nwb" or not h5py.is_hdf5(path):
        return path.suffix.lower() == ".nwb"
    with h5py.File(path) as file:
        return "nwb_version" in file.attrs


def kind_of_file(path: Path, nwb: NWBFile) -> str:
    """Version, size and origin of a file in a line."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else _bytes(path)
    version = getattr(nwb.read_io, "nwb_version", None) or ("",)  # which not every backend knows
    parts = [f"NWB {version[0]} over {'Zarr' if path.is_dir() else 'HDF5'}".replace("  ", " "), in_bytes(size)]
    if nwb.session_start_time is not None:
        parts.append(f"recorded {nwb.session_start_time:%Y-%m-%d}")
    if nwb.subject is not None:
        about = [nwb.subject.subject_id, nwb.subject.species]
        parts.append("subject " + ", ".join(str(one) for one in about if one))
    return ", ".join(part for part in parts if part != "subject ")


def in_bytes(size: float) -> str:
    """A number of bytes for people.

    Example:
        >>> in_bytes(812), in_bytes(21.3e9)
        ('812 bytes', '21.3 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def tables_of(nwb: NWBFile) -> list[Table]:
    """All tables of a file with their columns; long ones are looked at as far as seconds allow."""
    return [_table(where, table) for where, table in found(nwb, DynamicTable).items()]


def _table(where: str, table: DynamicTable) -> Table:
    return Table(where, len(table), [_column(name, one) for name, one in columns_of(where, table).items()])


def _column(name: str, column: nwb_tables.Column) -> Column:
    data = column.target.data
    dtype = str(getattr(data, "dtype", "")) if column.kind in ("number", "flag", "array") else ""
    kind = {"number": dtype or "number", "flag": "true or false", "array": f"{dtype} array"}.get(
        column.kind, column.type
    )
    if column.indexed and column.kind in ("number", "flag", "array"):
        kind = f"list of {kind}"
    try:
        examples, note = _examples(column), _note(column)
    except V4eggError as error:
        examples, note = (), str(error)
    return Column(name, kind, examples, note)


def _examples(column: nwb_tables.Column) -> tuple[str, ...]:
    if column.kind == "array":
        return ()
    texts = [shown(value) for value in column.beginning(_BEGINNING)]
    return tuple(dict.fromkeys(texts))[:EXAMPLES]


def _note(column: nwb_tables.Column) -> str:
    """What is known of all values."""
    rows = len(column.target.data)
    if column.indexed:
        return f"{rows} values in all"
    if column.kind == "array":
        return " x ".join(map(str, np.shape(column.target.data)[1:])) + " each"
    if column.kind in ("series", "reference", "row") or rows == 0:
        return ""
    if rows > _ROWS:
        return f"only the first of {rows} looked at"
    return summary_of([plain(value) for value in column.values(Path())])


def summary_of(values: Sequence[Any]) -> str:
    """How many different values there are, which they are where they are few, and their range.

    Example:
        >>> summary_of(["a", "b", "a"]), summary_of([0.5, 1.0, 7.25] * 4), summary_of(list(range(9)))
        ('a 2, b 1', '0.5 4, 1 4, 7.25 4', '9 different, 0 to 8')
    """
    missing = sum(is_missing(value) for value in values)
    given = Counter(value for value in values if not is_missing(value))
    end = f", {missing} missing" if missing else ""
    if len(given) <= FEW and len(given) < len(values):
        listed = ", ".join(f"{shown(value)} {number}" for value, number in sorted(given.items(), key=_sorted))
        return (listed + end).removeprefix(", ")
    numbers = all(isinstance(value, int | float) for value in given)
    spread = f", {shown(min(given))} to {shown(max(given))}" if numbers else ""
    return f"{len(given)} different{spread}{end}"


def _sorted(item: tuple[Any, int]) -> tuple[bool, Any]:
    value = item[0]
    return isinstance(value, str), str(value) if isinstance(value, str) else value


def shown(value: Any) -> str:
    """A value as short text.

    Example:
        >>> shown(0.30000000000000004), shown(b"a.png"), shown(True)
        ('0.3', 'a.png', 'true')
    """
    value = plain(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)[:_LONG]


def image_sets_of(path: Path, nwb: NWBFile) -> list[ImageSet]:
    """The images of a file, and where it has none those in folders beside it."""
    sets = []
    for where, item in containers(nwb).items():
        try:
            sets.append(image_set(source_of(path, nwb, item)))
        except V4eggError as error:
            sets.append(ImageSet(where, type(item).__name__, 0, note=str(error)))
    return sets or [image_set(folder_source(folder, folder.name)) for folder in folders_beside(path)]


def folders_beside(path: Path) -> list[Path]:
    """Folders beside a file that hold image files, themselves or in folders below."""
    folders = sorted(one for one in path.absolute().parent.iterdir() if one.is_dir() and not one.name.startswith("."))
    return [one for one in folders[:_FOLDERS] if next(walk_image_files(one), None) is not None]


def image_set(source: ImageSource) -> ImageSet:
    """Number, shape, type and range of the images of a source; of large ones some are looked at."""
    positions = sample(source, range(len(source)))
    note = "" if source.ordered or source.kind == "folder" else "no stated order: sorted by name, numbers by value"
    try:
        frames = [source.load(position) for position in positions]
        low, high = min(float(one.min()) for one in frames), max(float(one.max()) for one in frames)
    except V4eggError as error:
        return ImageSet(source.where, source.kind, len(source), note=str(error))
    shapes = set(source.shapes) or {frame.shape for frame in frames}
    dtypes = set(source.dtypes) or {str(frame.dtype) for frame in frames}
    return ImageSet(
        source.where,
        source.kind,
        len(source),
        next(iter(shapes)) if len(shapes) == 1 else None,
        ", ".join(sorted(dtypes)),
        low,
        high,
        len(frames),
        tuple(name for name in source.names[:EXAMPLES] if name is not None),
        note,
    )


def sample(source: ImageSource, positions: Sequence[int]) -> list[int]:
    """Some of the positions, evenly: as many images as can be read in a second; one of each shape and type among them.

    Args:
        source: the images.
        positions: those that can be chosen, ascending.
    """
    size = 2**20
    if source.arrays:
        size = max(int(np.prod(source.shapes[p])) * np.dtype(source.dtypes[p]).itemsize for p in positions)
    most = max(1, min(_SAMPLE, _SAMPLE_BYTES // max(size, 1)))
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(most, len(positions))).round().astype(int))
    looks: dict[Any, int] = {}
    for position in positions if source.arrays else ():
        looks.setdefault((source.shapes[position], source.dtypes[position]), position)
    first = list(looks.values())[:_SAMPLE]
    return sorted({positions[one] for one in chosen.tolist()} | set(first))


def unit_facts(units: UnitTable, duration: float) -> UnitFacts:
    """Units by location and other columns of few values, and their rates.

    Args:
        units: of the file.
        duration: of the recording in s, for units whose observation intervals are not stated.
    """
    groups = {}
    for name, column in units.frame.items():
        values = Counter(str(value) for value in column if not is_missing(value))
        if 0 < len(values) <= FEW and not (len(values) == 1 and column.dtype.kind in "if"):
            groups[str(name)] = dict(values.most_common())
    rates = [_rate(units, unit, duration) for unit in units.frame.index]
    known = np.array([rate for rate in rates if np.isfinite(rate)])
    rate = (float(known.min()), float(np.median(known)), float(known.max())) if len(known) else None
    notes = [f"spike times of {sum(units.spikes.count(unit) for unit in units.frame.index)} spikes"]
    if units.observed is not None:
        seconds = [float((rows[:, 1] - rows[:, 0]).sum()) for rows in units.observed.values()]
        notes.append(f"obs_intervals of {min(seconds):.6g} to {max(seconds):.6g} s per unit")
    return UnitFacts(len(units.frame), groups, rate, "; ".join(notes))


def _rate(units: UnitTable, unit: str, duration: float) -> float:
    rows = units.observed[unit] if units.observed is not None else np.empty((0, 2))
    seconds = float((rows[:, 1] - rows[:, 0]).sum()) if len(rows) else duration
    return units.spikes.count(unit) / seconds if seconds > 0 else np.nan


def spike_span(units: UnitTable) -> tuple[float, float]:
    """Time of the first and the last spike of all units in s, by the ends of each unit's times; NaN without any."""
    ends = [time for unit in units.frame.index for time in units.spikes.ends(unit)]
    finite = [time for time in ends if np.isfinite(time)]
    return (min(finite), max(finite)) if finite else (np.nan, np.nan)


def _bytes(path: Path) -> int:
    return path.stat().st_size
