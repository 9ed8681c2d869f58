"""Which image each stimulus id of an NWB file means: directly, through a table of stimuli, or by names of frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from hdmf.common import DynamicTable
from pynwb import NWBFile
from pynwb.misc import Units

from v4egg.errors import V4eggError
from v4egg.images.names import match_names
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import Notes, OpenQuestion, listed
from v4egg.recordings.readers.nwb_file import found, named
from v4egg.recordings.readers.nwb_images import ImageSource
from v4egg.recordings.readers.nwb_tables import Column, columns_of, name_columns, only_name_column, plain
from v4egg.recordings.readers.presented import Presentations

Places: TypeAlias = list[int | None]
_NAMED = 3  # how many ids an error names
_MEANING = {  # of the values of number_from
    0: "positions, the first image is 0",
    1: "positions, the first image is 1",
    "name": "the number in the name",
}


def images_of_ids(
    path: Path, nwb: NWBFile, source: ImageSource, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> tuple[ImageSource, np.ndarray]:
    """The image of each presentation.

    Args:
        path: the NWB file, for messages.
        nwb: its content.
        source: the images.
        shown: the presentations; their ids are numbers or texts.
        names: the keys of ``columns``, with defaults.
        notes: of what is taken.

    Returns:
        The images, with names if a table names frames; and int64 (presentation,), the position of the image of each.

    Raises:
        OpenQuestion: ids can be read in several ways.
        V4eggError: an id has no image.
    """
    source = _with_names_of_frames(path, nwb, source, shown, names, notes)
    _check_blanks(path, source, shown, names)
    shown = _looked_up(path, nwb, source, shown, names, notes)
    return source, _matched(path, source, shown, names, notes)


# --- ids as they are --------------------------------------------------------------------------------------------------


def _matched(
    path: Path, source: ImageSource, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> np.ndarray:
    number_from = names["number_from"]
    if number_from is None and (names["stimulus_name"] == "row" or (shown.images is not None and source.ordered)):
        number_from = 0  # rows and indices are positions by definition
    elif number_from is None and names["image_names"] is not None:
        number_from = "name"
    warnings: list[str] = []

    def match(start: Any) -> Places:
        return _places(path, source, shown, shown.ids, start, warnings)

    try:
        places = match(number_from)
    except V4eggError as error:
        raise _number_question(path, number_from, match, error) from error
    missing = sorted({str(value) for value, place in zip(shown.ids, places, strict=True) if place is None})
    if missing:
        raise V4eggError(
            f"{path}: {len(missing)} values of {PurePosixPath(shown.column).name} have no image among the "
            f"{len(source)} of {source.where}, such as {listed(missing[:_NAMED])}; set columns.stimulus or "
            "columns.images, or columns.blank if they mean no image"
        )
    notes.warnings.extend(dict.fromkeys(warnings))
    return np.array(places, int)


def _places(
    path: Path, source: ImageSource, shown: Presentations, ids: Sequence[Any], number_from: Any, warnings: list[str]
) -> Places:
    return match_names(
        [plain(value) for value in ids],
        source.names,
        ordered=source.ordered,
        where=f"{path}: {shown.column}",
        number_from=number_from,
        warnings=warnings,
    )


def _number_question(path: Path, number_from: Any, match: Callable[[Any], Places], error: V4eggError) -> V4eggError:
    """The refusal to match as a question, if a way to read whole numbers answers it."""
    if number_from is not None:
        return error
    answers = []
    for start, words in _MEANING.items():
        try:
            places = match(start)
        except V4eggError:
            continue
        if None not in places:
            answers.append(Answer(start, words))
    if not answers:
        return error
    text = str(error).removeprefix(f"{path}: ").rpartition("; ")[0]
    return OpenQuestion(path, "columns.number_from", text, answers)


def _check_blanks(path: Path, source: ImageSource, shown: Presentations, names: Mapping[str, Any]) -> None:
    """Refuse to take the name of an image as a blank unless the configuration says so."""
    if names["blank"] is not None:
        return
    taken = {name.lower(): name for name in source.names if name}
    taken |= {PurePosixPath(name).stem.lower(): name for name in source.names if name}
    for word in sorted(shown.blanks):
        if word.lower() in taken:
            answers = [Answer([word], "no image is shown"), Answer([], "the image is shown")]
            image = taken[word.lower()]
            text = f"{shown.column} has {word}, a usual word for no image, and {source.where} has an image {image}"
            raise OpenQuestion(path, "columns.blank", text, answers)


# --- ids that are keys of a table of stimuli --------------------------------------------------------------------------


def _looked_up(
    path: Path, nwb: NWBFile, source: ImageSource, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> Presentations:
    """Presentations whose ids are keys of a table of stimuli, with the names that the table has for them."""
    if names["stimulus_table"] is not None:
        return replace(shown, ids=_named_look_up(path, nwb, shown, names))
    direct = names["number_from"] is not None or names["stimulus_name"] == "row" or shown.images is not None
    if direct or _match_as_texts(path, source, shown):
        return shown
    ways = _ways_to_look_up(path, nwb, source, shown, names["stimulus_name"])
    if not ways:
        return shown
    if len({tuple(places) for _, places in ways.values()}) > 1:
        tables = sorted({table for table, _ in ways})
        key, choices = ("stimulus_table", tables) if len(tables) > 1 else ("stimulus_name", [name for _, name in ways])
        text = f"{shown.column} can be looked up in {listed(f'{table}/{name}' for table, name in ways)}"
        raise OpenQuestion(path, f"columns.{key}", text, [Answer(choice) for choice in choices])
    (table, name), (ids, _) = next(iter(ways.items()))
    notes.take("columns.stimulus_table", table, f"it has all values of {shown.column} in a column of that name")
    notes.take("columns.stimulus_name", name, "the column of that table that names images")
    return replace(shown, ids=ids)


def _match_as_texts(path: Path, source: ImageSource, shown: Presentations) -> bool:
    """Whether ids are names of images themselves, and no numbers."""
    if all(_is_number(value) for value in shown.ids):
        return False
    try:
        return None not in _places(path, source, shown, shown.ids, None, [])
    except V4eggError:
        return False


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _stimulus_tables(nwb: NWBFile, shown: Presentations) -> dict[str, DynamicTable]:
    every = found(nwb, DynamicTable)
    return {where: table for where, table in every.items() if not isinstance(table, Units) and where != shown.where}


def _ways_to_look_up(
    path: Path, nwb: NWBFile, source: ImageSource, shown: Presentations, wanted: str | None
) -> dict[tuple[str, str], tuple[list[Any], Places]]:
    """By table and column that name an image for each id: the names, and the positions of the images."""
    key = PurePosixPath(shown.column).name
    ways = {}
    for where, table in _stimulus_tables(nwb, shown).items():
        if key not in table.colnames:
            continue
        columns = columns_of(where, table)
        for name in [wanted] if wanted in columns else name_columns(table):
            try:
                ids = _translated(path, columns[key].values(path), columns[name].values(path), shown)
                places = _places(path, source, shown, ids, None, [])
            except V4eggError:
                continue
            if name != key and None not in places:
                ways[(where, name)] = (ids, places)
    return ways


def _named_look_up(path: Path, nwb: NWBFile, shown: Presentations, names: Mapping[str, Any]) -> list[Any]:
    wanted = names["stimulus_table"]
    present = _stimulus_tables(nwb, shown)
    fitting = named(present, wanted)
    if len(fitting) != 1:
        raise V4eggError(
            f"{path}: columns.stimulus_table names {wanted}, of which there are {len(fitting)}; "
            f"tables are {listed(present)}"
        )
    where, table = next(iter(fitting.items()))
    columns = columns_of(where, table)
    key = PurePosixPath(shown.column).name
    keys = columns[key].values(path) if key in columns else [plain(value) for value in table.id.data[:]]
    name = names["stimulus_name"] or only_name_column(path, shown.column, table, but=key)
    if name not in columns:
        raise V4eggError(f"{path}: {where} has no column {name} but {listed(columns)}; correct columns.stimulus_name")
    return _translated(path, keys, columns[name].values(path), shown)


def _translated(path: Path, keys: Sequence[Any], values: Sequence[Any], shown: Presentations) -> list[Any]:
    """The value of the row that has an id as its key, for each presentation."""
    rows = {_key(value): row for row, value in enumerate(keys)}
    ids = [_key(value) for value in shown.ids]
    lacking = sorted({str(value) for value in ids if value not in rows})
    if lacking or len(rows) < len(keys):
        which = f"no row for {listed(lacking[:_NAMED])}" if lacking else "several rows with one id"
        raise V4eggError(f"{path}: the table of stimuli for {shown.column} has {which}; correct columns.stimulus_table")
    return [values[rows[value]] for value in ids]


def _key(value: Any) -> Any:
    """An id such that 3, 3.0 and the text 3 are equal."""
    value = plain(value)
    if _is_number(value):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value.strip() if isinstance(value, str) else value


# --- names of frames --------------------------------------------------------------------------------------------------


def _with_names_of_frames(
    path: Path, nwb: NWBFile, source: ImageSource, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> ImageSource:
    """Frames without names get those of a column of a table with a row for each frame, if ids are such names."""
    if names["image_names"] is not None:
        return _renamed(path, source, _one_column(path, nwb, names["image_names"]))
    if any(name is not None for name in source.names) or shown.images is not None or names["number_from"] is not None:
        return source
    fitting = _columns_with_all_ids(path, nwb, source, shown)
    if all(_is_number(value) for value in shown.ids):
        return _checked_numbers(path, source, shown, fitting)
    if not fitting:
        return source
    if len({tuple(column.values(path)) for column in fitting.values()}) > 1:
        text = f"several columns can name the frames of {source.where}"
        raise OpenQuestion(path, "columns.image_names", text, _choices(fitting))
    where, column = next(iter(fitting.items()))
    notes.take("columns.image_names", where, f"a column with a row for each frame of {source.where}, and with all ids")
    return _renamed(path, source, column)


def _checked_numbers(
    path: Path, source: ImageSource, shown: Presentations, fitting: Mapping[str, Column]
) -> ImageSource:
    """Refuse whole numbers that a table gives another order than that of the frames."""
    name = PurePosixPath(shown.column).name
    other = {
        where: column
        for where, column in fitting.items()
        if PurePosixPath(where).name == name and _offset([_key(value) for value in column.values(path)]) is None
    }
    if other:
        text = f"{shown.column} counts frames of {source.where}, or is one of the numbers of a column of that name"
        raise OpenQuestion(path, "columns.image_names", text, _choices(other))
    return source


def _offset(numbers: Sequence[Any]) -> int | None:
    """The first number if each next one is greater by one, else None."""
    first = numbers[0]
    return first if list(numbers) == list(range(int(first), int(first) + len(numbers))) else None


def _columns_with_all_ids(path: Path, nwb: NWBFile, source: ImageSource, shown: Presentations) -> dict[str, Column]:
    """Columns, by path, with one row per image, among whose values are all ids."""
    wanted = {_key(value) for value in shown.ids}
    return {
        where: column
        for where, column in _columns_of_all_tables(nwb, shown).items()
        if not column.indexed
        and column.kind in ("text", "code", "number")
        and len(column.data.data) == len(source)
        and wanted <= {_key(value) for value in column.values(path)}
    }


def _columns_of_all_tables(nwb: NWBFile, shown: Presentations) -> dict[str, Column]:
    every = [columns_of(where, table) for where, table in _stimulus_tables(nwb, shown).items()]
    return {column.where: column for columns in every for column in columns.values()}


def _one_column(path: Path, nwb: NWBFile, wanted: str) -> Column:
    every = {where: table for where, table in found(nwb, DynamicTable).items() if not isinstance(table, Units)}
    columns = {column.where: column for where, table in every.items() for column in columns_of(where, table).values()}
    fitting = named(columns, wanted)
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    raise V4eggError(
        f"{path}: columns.image_names names {wanted}, which is {len(fitting)} columns; give one as table/column"
    )


def _choices(columns: Mapping[str, Column]) -> list[Answer]:
    return [Answer(where.strip("/"), f"such as {listed(column.examples())}") for where, column in columns.items()]


def _renamed(path: Path, source: ImageSource, column: Column) -> ImageSource:
    names = [str(_key(value)) for value in column.values(path)]
    if len(names) != len(source) or len(set(names)) != len(names):
        raise V4eggError(
            f"{path}: {column.where} has {len(names)} rows, {len(set(names))} of them different, for {len(source)} "
            f"images of {source.where}; name a column with one name per image in columns.image_names"
        )
    return replace(source, names=tuple(names))
