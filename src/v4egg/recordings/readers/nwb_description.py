"""The description of an NWB file, and a session of it in numbers: what reading would give, without reading it all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pynwb import NWBFile

from v4egg.errors import V4eggError
from v4egg.images.pixels import grey_if_equal, range_of, scaled, stacked
from v4egg.recordings import intervals
from v4egg.recordings.outline import Outline
from v4egg.recordings.readers import nwb_contents as contents
from v4egg.recordings.readers.description import Answer, Column, Description, Question, Span, Taken
from v4egg.recordings.readers.notes import Notes, OpenQuestion, refusals_described
from v4egg.recordings.readers.nwb_file import opened
from v4egg.recordings.readers.nwb_images import equal_frames
from v4egg.recordings.readers.nwb_layout import DEFAULT_COLUMNS, Understanding, understand
from v4egg.recordings.readers.nwb_presentations import tables
from v4egg.recordings.readers.nwb_tables import columns_of, plain
from v4egg.recordings.readers.nwb_times import invalid_times, recorded_times
from v4egg.recordings.readers.nwb_units import UnitTable, read_units

_MANY_SPIKES = 20_000_000  # that are read in seconds
_SEARCHED = ("columns.table", "columns.stimulus", "columns.images", "columns.stimulus_name", "columns.image_names")
_IMPOSSIBLE, _POSSIBLE, _BY_NAME = range(3)  # how well an answer fits
_TRIED = 12  # answers to a question, at most
_SHOWN = 3  # presentations that are shown with their images
_AREA = ("location", "area", "brain_area", "region", "quality", "group")  # columns by which units may be chosen
_PREFERRED = ("V4", "good")  # their values


def outline_nwb(path: str | Path, session: str, columns: Mapping[str, Any]) -> Outline:
    """The session in an NWB file in numbers: layout, presentations, names and shapes of images.

    Some images are looked at, and spike times if there are not too many; otherwise a warning says so.

    Args:
        path: the file or folder.
        session: session id.
        columns: all keys of :data:`v4egg.recordings.readers.nwb_layout.DEFAULT_COLUMNS`.

    Raises:
        V4eggError: as :func:`v4egg.recordings.readers.nwb.read_nwb`, as far as that is found without reading all.
    """
    path, notes = Path(path), Notes()
    with opened(path) as nwb:
        plan = understand(path, nwb, session, columns, notes)
        return _outline(path, nwb, plan, columns, notes)


def describe_nwb(path: Path) -> Description | None:
    """What an NWB file holds, and what is taken as what where the configuration does not say; None: it is no NWB file.

    Where a question has one answer with which the names of all stimuli are those of images, that answer is taken.

    Raises:
        V4eggError: the file is damaged.
    """
    if not contents.is_nwb(path):
        return None
    with opened(path) as nwb:
        result = Description("nwb", contents.kind_of_file(path, nwb), options={"file": str(path)})
        result.tables = contents.tables_of(nwb)
        result.image_sets = contents.image_sets_of(path, nwb)
        found = _Found(dict(DEFAULT_COLUMNS))
        with refusals_described(result, path):
            _understand(path, nwb, found)
            result.outline = _outline(path, nwb, found.plan, found.names, found.notes) if found.plan else None
        _add_units(path, nwb, found, result)
        _add_taken(nwb, found, result)
        result.warnings = [text.removeprefix(f"{path.name}: ") for text in dict.fromkeys(found.notes.warnings)]
    return result


@dataclass
class _Found:
    """What has been understood of a file so far.

    Attributes:
        names: the keys of ``columns``, those that were searched for filled in.
        notes: of the last try.
        searched: answers to questions that only one answer fits.
        plan: how the file is understood, or None.
    """

    names: dict[str, Any]
    notes: Notes = field(default_factory=Notes)
    searched: list[Taken] = field(default_factory=list)
    plan: Understanding | None = None


def _understand(path: Path, nwb: NWBFile, found: _Found) -> None:
    """Understand a file; a question that only one answer fits is answered.

    Raises:
        OpenQuestion: several answers fit, or none.
        V4eggError: the file cannot be read.
    """
    for _ in _SEARCHED:
        found.notes = Notes()
        try:
            found.plan = understand(path, nwb, "s", found.names, found.notes)
            return
        except OpenQuestion as error:
            question = _with_folders(path, error.question)
            answer = _only_answer(path, nwb, found.names, question)
            if answer is None:
                raise OpenQuestion(path, question.key, question.text, question.answers) from None
            found.names[question.key.removeprefix("columns.")] = answer.value
            why = (
                answer.why if len(question.answers) == 1 else f"{question.text}; with this one all stimuli name images"
            )
            found.searched.append(Taken(question.key, answer.value, why))
    found.plan = understand(path, nwb, "s", found.names, found.notes)


def _with_folders(path: Path, question: Question) -> Question:
    """A question for images with the folders beside the file among its answers."""
    if question.key != "columns.images" or any(str(one.value).startswith("/") for one in question.answers):
        return question
    folders = [Answer(folder.name, "the folder of images beside the file") for folder in contents.folders_beside(path)]
    return Question(question.key, question.text, folders or question.answers)


def _only_answer(path: Path, nwb: NWBFile, names: Mapping[str, Any], question: Question) -> Answer | None:
    """The answer that the file itself gives: with it, and with no other, the stimuli are names of images.

    Whole numbers are positions of images in many columns, and so tell only where there is nothing to choose.
    """
    if question.key not in _SEARCHED:
        return None
    fits = [_fit(path, nwb, names, question.key, answer) for answer in question.answers[:_TRIED]]
    if question.key == "columns.images" and len(fits) == 1 and fits[0]:
        return question.answers[0]
    rival = _POSSIBLE if question.key in ("columns.table", "columns.images") else _BY_NAME
    if max(fits) == _BY_NAME and sum(fit >= rival for fit in fits) == 1:
        return question.answers[fits.index(_BY_NAME)]
    return None


def _fit(path: Path, nwb: NWBFile, names: Mapping[str, Any], key: str, answer: Answer) -> int:
    """How well an answer fits: whether every stimulus names an image, or may be one, or there are others."""
    try:
        plan = understand(path, nwb, "s", {**names, key.removeprefix("columns."): answer.value}, Notes())
    except OpenQuestion:
        return _POSSIBLE
    except V4eggError:
        return _IMPOSSIBLE
    texts = [value for value in plan.shown.ids if isinstance(value, str) and not value.replace(".", "", 1).isdigit()]
    return _BY_NAME if texts else _POSSIBLE


def _outline(path: Path, nwb: NWBFile, plan: Understanding, names: Mapping[str, Any], notes: Notes) -> Outline:
    spikes = sum(plan.units.spikes.count(unit) for unit in plan.units.frame.index)
    if spikes <= _MANY_SPIKES:
        recorded_times(path, nwb, plan.units, plan.shown, notes)
    else:
        notes.warnings.append(f"{path.name}: {spikes:,} spikes were not looked at; v4egg check --full reads them")
    position = equal_frames(plan.source, plan.position) if plan.by_content else plan.position
    used, presentations = np.unique(position, return_counts=True)
    shape = _shape(path, plan, used.tolist(), names)
    kept = len(plan.units.kept)
    return Outline(len(used), shape, kept, presentations, dict(notes.left_out), list(notes.warnings))


def _shape(path: Path, plan: Understanding, used: Sequence[int], names: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, y, x of the images, as some of them tell."""
    source, where = plan.source, f"{path}: {plan.source.where}"
    frames = [source.frame(one) for one in contents.sample(source, used)]
    declared = None if names["pixel_range"] is None else tuple(names["pixel_range"])
    value_range = range_of(frames, where=where, value_range=declared)
    pictures = stacked((scaled(one, value_range, where=where) for one in frames), len(frames), where=where)
    _, channels, height, width = grey_if_equal(pictures).shape
    return channels, height, width


# --- what is told -----------------------------------------------------------------------------------------------------


def _add_units(path: Path, nwb: NWBFile, found: _Found, result: Description) -> None:
    """Units, and when what happened."""
    try:
        units = found.plan.units if found.plan else read_units(path, nwb, "s", found.names, Notes())
    except V4eggError:
        return  # the refusal or the question says so
    start, stop = contents.spike_span(units)
    result.units = contents.unit_facts(units, stop - start)
    result.spans = [*_span("spikes", start, stop, "as the first and the last of each unit tell")]
    if found.plan:
        onset = found.plan.shown.onset
        result.spans += _span("presentations", onset[0], onset[-1], f"onsets of {len(onset)} that show an image")
    result.spans += _overlaps(path, nwb, units, found.plan)
    result.suggested = [*_unit_filter(units), *_presentations_filter(found, result)]


def _span(what: str, start: float, stop: float, note: str) -> Iterator[Span]:
    if np.isfinite([start, stop]).all():
        yield Span(what, float(start), float(stop), note)


def _overlaps(path: Path, nwb: NWBFile, units: UnitTable, plan: Understanding | None) -> Iterator[Span]:
    """Invalid times and observation intervals, and how many presentations are inside."""
    onset = plan.shown.onset if plan else np.empty(0)
    invalid = invalid_times(path, nwb)
    if len(invalid):
        inside = intervals.contain(invalid, onset, onset).sum()
        yield from _span("invalid times", invalid[0, 0], invalid[-1, 1], f"{len(invalid)} in which {inside} begin")
    rows = [rows for rows in (units.observed or {}).values() if len(rows)]
    if rows:
        every = np.concatenate(rows)
        inside_each = [int(intervals.contain(intervals.merge(one), onset, onset).sum()) for one in rows]
        note = f"of {len(rows)} units; {min(inside_each)} to {max(inside_each)} presentations begin in those of a unit"
        yield from _span("obs_intervals", every[:, 0].min(), every[:, 1].max(), note)


def _unit_filter(units: UnitTable) -> Iterator[Taken]:
    """By what units may be chosen: an area, or a quality."""
    for name in (one for one in _AREA if one in units.frame):
        values = units.frame[name].value_counts()
        if 1 < len(values) <= contents.FEW:
            value = next((one for one in _PREFERRED if one in values.index), values.index[0])
            why = f"keep only units with this {name} ({values[value]} of {values.sum()})"
            yield Taken("columns.unit_filter", {name: plain(value)}, why)
            return


def _presentations_filter(found: _Found, result: Description) -> Iterator[Taken]:
    """By what presentations may be chosen: a column of few values."""
    if found.plan is None:
        return
    table = next((one for one in result.tables if one.name == found.plan.shown.where), None)
    taken = [found.names[key] for key in ("start", "stop", "stimulus")]
    for column in table.columns if table else ():
        if column.name not in taken and _few_texts(column):
            value = column.examples[0] == "true" if column.kind == "true or false" else column.examples[0]
            why = f"keep only presentations with this {column.name} ({column.note})"
            yield Taken("columns.presentations_filter", {column.name: value}, why)
            return


def _few_texts(column: Column) -> bool:
    return column.kind in ("text", "code", "true or false") and "," in column.note and "different" not in column.note


def _add_taken(nwb: NWBFile, found: _Found, result: Description) -> None:
    """What is taken as what, in the order of the keys."""
    searched = {taken.key for taken in found.searched}
    taken = [*found.searched, *(one for one in found.notes.taken if one.key not in searched)]
    taken += _columns_taken(nwb, found, {one.key for one in taken})
    order = [f"columns.{key}" for key in DEFAULT_COLUMNS]
    result.taken = sorted(taken, key=lambda one: order.index(one.key) if one.key in order else len(order))
    if found.plan:
        result.taken += _examples(found.plan)


def _columns_taken(nwb: NWBFile, found: _Found, taken: set[str]) -> Iterator[Taken]:
    """The columns of the presentations, whose names are the usual ones."""
    table = tables(nwb).get(found.plan.shown.where) if found.plan else None
    columns = {} if table is None else columns_of("", table)
    meaning = {"start": "onset in s", "stop": "offset in s", "stimulus": "what names the image"}
    for key, words in meaning.items():
        name = found.names[key]
        if name in columns and f"columns.{key}" not in taken:
            yield Taken(f"columns.{key}", name, f"{words}: {columns[name].type}")


def _examples(plan: Understanding) -> Iterator[Taken]:
    source = plan.source
    order = "stated by the file" if source.ordered else "by name, numbers by value"
    yield Taken("order of images", order, f"{len(source)} images of {source.where}")
    shown = [f"{_stimulus(plan, row)} is {source.name(plan.position[row])}" for row in range(len(plan.shown))[:_SHOWN]]
    yield Taken("first presentations", "; ".join(shown), f"{PurePosixPath(plan.shown.column).name} and the image")


def _stimulus(plan: Understanding, row: int) -> str:
    return contents.shown(plan.shown.ids[row])
