"""How an NWB file is understood: which units, which presentations, which images, and which image each of them showed.

Reading and describing a file share :func:`understand`. What it can not decide it asks as an
:class:`~v4egg.recordings.readers.nwb_file.OpenQuestion`, which names the key that answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from hdmf.common import DynamicTable
from hdmf.container import AbstractContainer
from pynwb import NWBFile
from pynwb.misc import Units

from v4egg.errors import V4eggError
from v4egg.images.names import match_names
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import Notes, OpenQuestion, listed
from v4egg.recordings.readers.nwb_file import found, named
from v4egg.recordings.readers.nwb_images import ImageSource, choose_source, objects_source, source_of, with_axes
from v4egg.recordings.readers.nwb_presentations import read_presentations
from v4egg.recordings.readers.nwb_tables import Column, FrameOf, columns_of, plain
from v4egg.recordings.readers.nwb_units import UnitTable, read_units
from v4egg.recordings.readers.presented import Presentations

DEFAULT_COLUMNS: dict[str, Any] = {
    "table": None,
    "start": "start_time",
    "stop": "stop_time",
    "stimulus": "stimulus_id",
    "stimulus_name": None,
    "presentations_filter": None,
    "blank": None,
    "images": None,
    "image_names": None,
    "number_from": None,
    "axes": None,
    "pixel_range": None,
    "units": None,
    "unit_filter": None,
}
_NAMED = 3  # how many ids an error names


@dataclass
class Understanding:
    """What is taken as what in a file, before spikes and pixels are read.

    Attributes:
        units: its units.
        shown: the presentations that show an image, by onset.
        source: the images.
        position: int64 (presentation,), which of the images each presentation shows.
        by_content: whether each presentation has a frame of its own in a series, so that repeats are found by pixels.
    """

    units: UnitTable
    shown: Presentations
    source: ImageSource
    position: np.ndarray
    by_content: bool


def understand(path: Path, nwb: NWBFile, session: str, names: Mapping[str, Any], notes: Notes) -> Understanding:
    """Decide what is what in a file, without reading spikes or pixels.

    Args:
        path: the NWB file.
        nwb: its content.
        session: session id, the beginning of unit ids.
        names: the keys of :data:`DEFAULT_COLUMNS`.
        notes: of what is taken, left out and worth a look.

    Raises:
        OpenQuestion: something that a key of ``columns`` decides.
        V4eggError: the file lacks a table, a column or an image.
    """
    units = read_units(path, nwb, session, names, notes)
    shown = read_presentations(path, nwb, names, notes)
    source, position = _images_shown(path, nwb, shown, names, notes)
    of_series = shown.where == source.where or isinstance(shown.ids[0], FrameOf)
    by_content = of_series and len(np.unique(position)) == len(position)
    return Understanding(units, shown, with_axes(path, nwb, source, names["axes"], notes), position, by_content)


def _images_shown(
    path: Path, nwb: NWBFile, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> tuple[ImageSource, np.ndarray]:
    """The images, and for each presentation the position of its image among them."""
    objects = [isinstance(value, AbstractContainer | FrameOf) for value in shown.ids]
    if all(objects):
        source, position = objects_source(path, nwb, shown.ids)
        notes.take("columns.images", source.where, f"what {shown.column} refers to")
        return source, position
    if any(objects):
        raise V4eggError(f"{path}: {shown.column} mixes references and names; give one kind")
    if shown.images is not None and names["images"] is None:
        source = source_of(path, nwb, shown.images)
        notes.take("columns.images", source.where, f"what {shown.where} shows")
    else:
        source = choose_source(path, nwb, names["images"], notes)
    source = _with_names_of_frames(path, nwb, source, shown, names, notes)
    _check_blanks(path, source, shown, names)
    return source, _matched(path, source, shown, names, notes)


def _matched(
    path: Path, source: ImageSource, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> np.ndarray:
    number_from = names["number_from"]
    if number_from is None and (names["stimulus_name"] == "row" or (shown.images is not None and source.ordered)):
        number_from = 0  # rows and indices are positions by definition
    warnings: list[str] = []
    where = f"{path}: {shown.column}"

    def match(start: Any) -> list[int | None]:
        ids = [plain(value) for value in shown.ids]
        return match_names(ids, source.names, ordered=source.ordered, where=where, number_from=start, warnings=warnings)

    try:
        places = match(number_from)
    except V4eggError as error:
        raise _number_question(path, source, number_from, match, error) from error
    missing = sorted({str(value) for value, place in zip(shown.ids, places, strict=True) if place is None})
    if missing:
        raise V4eggError(
            f"{path}: {len(missing)} values of {PurePosixPath(shown.column).name} have no image among the "
            f"{len(source)} of {source.where}, such as {listed(missing[:_NAMED])}; set columns.stimulus or "
            "columns.images, or columns.blank if they mean no image"
        )
    notes.warnings.extend(dict.fromkeys(warnings))
    return np.array(places, int)


def _number_question(path: Path, source: ImageSource, number_from: Any, match: Any, error: V4eggError) -> V4eggError:
    """The refusal to match as a question, if a way to read whole numbers answers it."""
    if number_from is not None:
        return error
    meaning = {
        0: "positions, the first image is 0",
        1: "positions, the first image is 1",
        "name": "the number in the name",
    }
    answers = []
    for start, words in meaning.items():
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


def _with_names_of_frames(
    path: Path, nwb: NWBFile, source: ImageSource, shown: Presentations, names: Mapping[str, Any], notes: Notes
) -> ImageSource:
    """Frames without names get those of a column of a table with a row for each frame, if ids are such names."""
    columns = _columns_of_all_tables(nwb)
    if names["image_names"] is not None:
        fitting = named(columns, names["image_names"])
        if len(fitting) != 1:
            raise V4eggError(
                f"{path}: columns.image_names names {names['image_names']}, which is {len(fitting)} columns; give one "
                "as table/column"
            )
        return _renamed(path, source, next(iter(fitting.values())))
    if any(name is not None for name in source.names) or not any(isinstance(value, str) for value in shown.ids):
        return source
    wanted = {value for value in shown.ids if isinstance(value, str)}
    if all(value.replace(".", "", 1).isdigit() for value in wanted):
        return source
    fitting = {
        where: column
        for where, column in columns.items()
        if not column.indexed
        and column.kind in ("text", "code")
        and len(column.data.data) == len(source)
        and where.rpartition("/")[0] != shown.where
        and wanted <= set(column.values(path))
    }
    if not fitting:
        return source
    if len({tuple(column.values(path)) for column in fitting.values()}) > 1:
        answers = [Answer(where, f"such as {listed(column.examples())}") for where, column in fitting.items()]
        raise OpenQuestion(
            path, "columns.image_names", f"several columns can name the frames of {source.where}", answers
        )
    where, column = next(iter(fitting.items()))
    notes.take("columns.image_names", where, f"a column with a row for each frame of {source.where}, and with all ids")
    return _renamed(path, source, column)


def _columns_of_all_tables(nwb: NWBFile) -> dict[str, Column]:
    every = {where: table for where, table in found(nwb, DynamicTable).items() if not isinstance(table, Units)}
    return {column.where: column for where, table in every.items() for column in columns_of(where, table).values()}


def _renamed(path: Path, source: ImageSource, column: Column) -> ImageSource:
    names = [str(plain(value)) for value in column.values(path)]
    if len(names) != len(source) or len(set(names)) != len(names):
        raise V4eggError(
            f"{path}: {column.where} has {len(names)} rows, {len(set(names))} of them different, for {len(source)} "
            f"images of {source.where}; name a column with one name per image in columns.image_names"
        )
    return replace(source, names=tuple(names))
