"""Which presentations an NWB file holds: the rows of a table, or the samples of a series of images or of indices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hdmf.common import DynamicTable
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.image import ImageSeries, IndexSeries
from pynwb.misc import Units

from v4egg.errors import V4eggError
from v4egg.recordings.filters import filtered
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import Notes, OpenQuestion, listed
from v4egg.recordings.readers.nwb_file import found, named
from v4egg.recordings.readers.nwb_tables import Column, columns_of, expanded, plain
from v4egg.recordings.readers.presented import Presentations, ask_for_a_filter, in_order, without_blanks

_PREFERRED = "/intervals/presentations"
_NO_PRESENTATIONS = ("/intervals/invalid_times", "/intervals/epochs")


def read_presentations(path: Path, nwb: NWBFile, names: Mapping[str, Any], notes: Notes) -> Presentations:
    """The presentations that show an image, in the order of their onsets.

    Args:
        path: the NWB file, for messages.
        nwb: its content.
        names: the keys of ``columns``, with defaults.
        notes: of what is taken and what is left out.

    Raises:
        OpenQuestion: several tables or columns could be meant, or it is not clear which presentations count.
        V4eggError: a table or column that is named is absent, or its values are impossible.
    """
    where, item = _choose(path, nwb, names, notes)
    if isinstance(item, DynamicTable):
        every = _of_table(path, where, item, names, notes)
    else:
        every = _of_series(path, where, item)
    shown = without_blanks(path, every, names["blank"], notes)
    return in_order(path, shown, notes)


def tables(nwb: NWBFile) -> dict[str, DynamicTable]:
    """The tables of a file that can hold presentations, by path."""
    every = found(nwb, DynamicTable)
    return {
        where: table
        for where, table in every.items()
        if not isinstance(table, Units) and where not in _NO_PRESENTATIONS and not where.startswith("/general")
    }


def series(nwb: NWBFile) -> dict[str, Any]:
    """The series whose samples are presentations of images, by path: indices, or frames with times of their own."""
    indices = found(nwb, IndexSeries)
    frames = {
        where: item
        for where, item in found(nwb, ImageSeries).items()
        if where.startswith("/stimulus/presentation") and item.timestamps is not None and item.external_file is None
    }
    return indices or frames


# --- which table ------------------------------------------------------------------------------------------------------


def _choose(path: Path, nwb: NWBFile, names: Mapping[str, Any], notes: Notes) -> tuple[str, Any]:
    present = tables(nwb)
    if names["table"] is not None:
        return _named(path, nwb, names["table"], present)
    needed = (names["start"], names["stimulus"])
    fitting = {where: table for where, table in present.items() if all(name in table.colnames for name in needed)}
    if len(fitting) > 1 and _PREFERRED in fitting:
        fitting = {_PREFERRED: fitting[_PREFERRED]}
    if not fitting:
        fitting = series(nwb)
    if len(fitting) == 1:
        where, item = next(iter(fitting.items()))
        notes.take("columns.table", where, _why(where, item, needed))
        return where, item
    if fitting:
        answers = [Answer(where, _size(item)) for where, item in fitting.items()]
        raise OpenQuestion(path, "columns.table", f"{len(fitting)} tables or series can be the presentations", answers)
    raise _no_table(path, present, names)


def _named(path: Path, nwb: NWBFile, wanted: str, present: dict[str, DynamicTable]) -> tuple[str, Any]:
    every = {**present, **found(nwb, IndexSeries), **found(nwb, ImageSeries)}
    fitting = named(every, wanted)
    if not fitting:
        raise V4eggError(f"{path}: columns.table names {wanted}, which is not there; tables are {listed(present)}")
    if len(fitting) > 1:
        answers = [Answer(where, _size(item)) for where, item in fitting.items()]
        raise OpenQuestion(path, "columns.table", f"{len(fitting)} tables have the name {wanted}", answers)
    return next(iter(fitting.items()))


def _why(where: str, item: Any, needed: tuple[str, str]) -> str:
    if not isinstance(item, DynamicTable):
        return "no table has these columns, and this is the only series of images shown"
    preferred = "the table of that name" if where == _PREFERRED else "the only table"
    return f"{preferred} with the columns {needed[0]} and {needed[1]}"


def _size(item: Any) -> str:
    if isinstance(item, DynamicTable):
        return f"{len(item)} rows"
    return f"{len(item.timestamps if item.timestamps is not None else item.data)} samples, {type(item).__name__}"


def _no_table(path: Path, present: dict[str, DynamicTable], names: Mapping[str, Any]) -> V4eggError:
    """What is asked where no table has a column of onsets and one of stimuli."""
    timed = {where: table for where, table in present.items() if names["start"] in table.colnames}
    timed = timed or {where: table for where, table in present.items() if isinstance(table, TimeIntervals)}
    if not timed:
        return V4eggError(f"{path}: no table of presentations; tables are {listed(present)}; name one in columns.table")
    if len(timed) > 1:
        answers = [Answer(where, f"columns {listed(table.colnames)}") for where, table in timed.items()]
        text = f"no table has the columns {names['start']} and {names['stimulus']}"
        return OpenQuestion(path, "columns.table", text, answers)
    where, table = next(iter(timed.items()))
    missing = "stimulus" if names["start"] in table.colnames else "start"
    return _no_column(path, where, table, missing, names[missing])


def _no_column(path: Path, where: str, table: DynamicTable, key: str, name: str) -> OpenQuestion:
    columns = columns_of(where, table)
    kinds = ("number",) if key in ("start", "stop") else ("text", "code", "row", "reference", "series", "number")
    likely = [column for column in columns if columns[column].kind in kinds]
    if key == "stimulus":
        likely = sorted((c for c in likely if c not in ("start_time", "stop_time")), key=_unlikely_stimulus)
    answers = [Answer(column, _examples(columns[column])) for column in likely or columns]
    return OpenQuestion(path, f"columns.{key}", f"{where} has no column {name}", answers)


def _unlikely_stimulus(name: str) -> int:
    words = ("image", "stim", "picture", "frame", "scene")
    return next((i for i, word in enumerate(words) if word in name.lower()), len(words))


def _examples(column: Column) -> str:
    return f"{column.type}, such as {listed(column.examples())}"


# --- rows of a table --------------------------------------------------------------------------------------------------


def _of_table(path: Path, where: str, table: DynamicTable, names: Mapping[str, Any], notes: Notes) -> Presentations:
    columns = columns_of(where, table)
    for key in ("start", "stimulus"):
        if names[key] not in columns:
            raise _no_column(path, where, table, key, names[key])
    start, stimulus = columns[names["start"]], columns[names["stimulus"]]
    lengths = _entries(path, start, stimulus)
    onset = _times(path, start)
    if lengths is not None:
        onset = onset + _relative(path, columns, onset, lengths, names)
    ids = stimulus.values(path, names["stimulus_name"])
    offset = _offsets(path, where, table, columns, names, lengths)
    every = Presentations(where, stimulus.where, onset, offset, ids)
    return every.keep(_kept(path, where, columns, lengths, names, notes))


def _entries(path: Path, start: Column, stimulus: Column) -> np.ndarray | None:
    """How many presentations each row holds; None where each is one."""
    if not start.indexed and not stimulus.indexed:
        return None
    if start.indexed and stimulus.indexed:
        lengths = stimulus.lengths()
        if np.array_equal(lengths, start.lengths()):
            return lengths
        row = int(np.flatnonzero(lengths != start.lengths())[0])
        raise V4eggError(
            f"{path}: row {row} of {stimulus.where} has {lengths[row]} stimuli and {start.lengths()[row]} onsets in "
            f"{start.where}; correct it"
        )
    several, single = (stimulus, start) if stimulus.indexed else (start, stimulus)
    key = "start" if stimulus.indexed else "stimulus"
    raise V4eggError(
        f"{path}: {several.where} has several values a row and {single.where} one; set columns.{key} to a column "
        "with as many values a row"
    )


def _times(path: Path, column: Column) -> np.ndarray:
    if column.kind != "number":
        raise V4eggError(
            f"{path}: {column.where} holds {column.type}, not times in s; set columns.start or columns.stop"
        )
    return np.asarray(column.target.data[:], "float64")


def _relative(
    path: Path, columns: Mapping[str, Column], onset: np.ndarray, lengths: np.ndarray, names: Mapping[str, Any]
) -> np.ndarray | float:
    """What has to be added to onsets in lists: 0, or the row's start where they count from it."""
    if "start_time" not in columns or names["start"] == "start_time":
        return 0.0
    start = np.repeat(_times(path, columns["start_time"]), lengths)
    stop = np.repeat(_times(path, columns["stop_time"]), lengths) if "stop_time" in columns else np.inf
    good = np.isfinite(onset)
    stop = np.where(np.isfinite(stop), stop, np.inf)
    absolute = bool(((onset >= start) & (onset <= stop))[good].all())
    relative = bool(((onset >= 0) & (onset <= stop - start))[good].all())
    if absolute:
        return 0.0
    if relative:
        return start
    raise V4eggError(
        f"{path}: onsets in {columns[names['start']].where} lie neither inside their rows nor count from the rows' "
        "start_time; correct them"
    )


def _offsets(
    path: Path,
    where: str,
    table: DynamicTable,
    columns: Mapping[str, Column],
    names: Mapping[str, Any],
    lengths: np.ndarray | None,
) -> np.ndarray:
    """Offsets (s); NaN for presentations in lists whose stops are those of the row."""
    if names["stop"] not in columns:
        raise _no_column(path, where, table, "stop", names["stop"])
    stop = columns[names["stop"]]
    if lengths is None and not stop.indexed:
        return _times(path, stop)
    if lengths is not None and stop.indexed and np.array_equal(stop.lengths(), lengths):
        return _times(path, stop)
    if lengths is not None and not stop.indexed:
        return np.full(int(lengths.sum()), np.nan)
    raise V4eggError(f"{path}: {stop.where} does not have one value for each onset; set columns.stop")


def _kept(
    path: Path,
    where: str,
    columns: Mapping[str, Column],
    lengths: np.ndarray | None,
    names: Mapping[str, Any],
    notes: Notes,
) -> np.ndarray:
    """Which presentations the filter keeps, bool (presentation,)."""
    wanted = names["presentations_filter"]
    if wanted is None:
        timing = (names["start"], names["stop"], names["stimulus"])
        others = ((name, column) for name, column in columns.items() if name not in timing and not column.indexed)
        single = ((name, column) for name, column in others if column.kind in ("text", "code", "flag", "number"))
        ask_for_a_filter(
            path, where, ((name, [plain(v) for v in column.values(path)]) for name, column in single), notes
        )

    def values_of(name: str) -> list[Any]:
        if name not in columns:
            raise V4eggError(f"{path}: presentations_filter names the column {name}; {where} has {listed(columns)}")
        return _filter_values(path, columns[name], lengths)

    rows = len(next(iter(columns.values())).data) if lengths is None else int(lengths.sum())
    return filtered(rows, wanted, values_of, notes.leave_out, f"{path}: presentations_filter")


def _filter_values(path: Path, column: Column, lengths: np.ndarray | None) -> list[Any]:
    values = [plain(value) for value in column.values(path)]
    if column.indexed:
        if lengths is not None and np.array_equal(column.lengths(), lengths):
            return values
        raise V4eggError(f"{path}: {column.where} has several values a row; filter by another column")
    return values if lengths is None else expanded(values, lengths)


# --- samples of a series ----------------------------------------------------------------------------------------------


def _of_series(path: Path, where: str, item: Any) -> Presentations:
    ids = [int(value) for value in item.data[:]] if isinstance(item, IndexSeries) else list(range(len(item.data)))
    if item.timestamps is not None:
        onset = np.asarray(item.timestamps[:], "float64")
    else:
        onset = (item.starting_time or 0.0) + np.arange(len(ids)) / item.rate
    if len(onset) != len(ids):
        raise V4eggError(f"{path}: {where} has {len(ids)} samples and {len(onset)} times; correct it")
    images = item
    if isinstance(item, IndexSeries):
        images = item.indexed_images if item.indexed_images is not None else item.indexed_timeseries
    return Presentations(where, where, onset, np.full(len(ids), np.nan), ids, images)
