"""Presentations of any file: which count, blanks, and their order."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from v4egg.errors import V4eggError
from v4egg.recordings.filters import MANY, is_blank, is_missing, values_not_shown
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import Notes, OpenQuestion, listed

_OUTCOME = re.compile(r"outcome|result|correct|reward|hit|success", re.I)


@dataclass
class Presentations:
    """Presentations that show an image, by onset.

    Attributes:
        where: the table or series, for messages.
        column: what holds the stimuli, for messages.
        onset: float64 (presentation,), s.
        offset: float64 (presentation,), s; NaN where it is not known.
        ids: what each presentation showed: a number, text, or an object of the file.
        images: the images that the file itself says the ids refer to, or None.
        blanks: the texts of presentations that were left out as blank.
        rows: int64 (presentation,), the rows of the table that they are, for readers that look them up; or None.
    """

    where: str
    column: str
    onset: np.ndarray
    offset: np.ndarray
    ids: list[Any]
    images: Any = None
    blanks: frozenset[str] = frozenset()
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, rows: np.ndarray) -> "Presentations":
        """Those at the given rows, bool or int (row,)."""
        rows = np.arange(len(self))[rows]
        ids = [self.ids[row] for row in rows]
        kept = None if self.rows is None else self.rows[rows]
        return replace(self, onset=self.onset[rows], offset=self.offset[rows], ids=ids, rows=kept)


def ask_for_a_filter(path: Path, where: str, columns: Iterable[tuple[str, Sequence[Any]]], notes: Notes) -> None:
    """Refuse presentations of which some were aborted while nothing says whether they count.

    Args:
        path: the file, for messages.
        where: the table, for messages.
        columns: names and values of its columns, but those of onsets, offsets and stimuli.
        notes: of what is worth a look.

    Raises:
        OpenQuestion: a column says that some presentations were not shown as planned.
    """
    for name, values in columns:
        bad = values_not_shown(name, values)
        if bad and len(bad) < len(set(values)):
            count = sum(value in bad for value in values)
            good = sorted({value for value in values if value not in bad and not is_missing(value)}, key=str)
            answers = [Answer({name: good[0] if len(good) == 1 else good}, "keep these"), Answer({}, "keep all")]
            text = f"{count} of {len(values)} rows of {where} have {name} = {listed(sorted(map(str, bad)))}"
            raise OpenQuestion(path, "columns.presentations_filter", text, answers)
        if _OUTCOME.search(name) and 1 < len(set(values)) <= MANY:
            different = listed(sorted(set(map(str, values))))
            notes.warnings.append(
                f"{path.name}: {where}/{name} has {different}, and all rows count; columns.presentations_filter can "
                "keep some of them"
            )


def without_blanks(
    path: Path, every: Presentations, words: Sequence[str | int | float] | None, notes: Notes
) -> Presentations:
    """Presentations that show an image.

    Args:
        path: the file, for messages.
        every: all presentations.
        words: stimuli that mean no image; None: :data:`v4egg.recordings.filters.DEFAULT_BLANKS`.
        notes: of what is left out.

    Raises:
        V4eggError: there are none.
    """
    blank = np.array([is_blank(value, words) for value in every.ids], bool)
    notes.leave_out(f"{Path(every.column).name} is blank", int(blank.sum()))
    if blank.all():
        raise V4eggError(f"{path}: {every.column} names no image; set columns.stimulus")
    texts = {value.strip() for value, out in zip(every.ids, blank, strict=True) if out and isinstance(value, str)}
    return replace(every.keep(~blank), blanks=frozenset(texts))


def in_order(path: Path, shown: Presentations, notes: Notes) -> Presentations:
    """Presentations with an onset, in the order of the onsets, each of them once.

    Args:
        path: the file, for messages.
        shown: the presentations.
        notes: of what is left out and worth a look.

    Raises:
        V4eggError: none has an onset, a stop is not after its start, or two images have one onset.
    """
    timed = np.isfinite(shown.onset)
    notes.leave_out("the onset is missing", int((~timed).sum()))
    if not timed.any():
        raise V4eggError(f"{path}: {shown.where} has no onset; set columns.start")
    shown = shown.keep(timed)
    shown = shown.keep(np.argsort(shown.onset, kind="stable"))
    if (shown.offset <= shown.onset).any():
        row = int(np.flatnonzero(shown.offset <= shown.onset)[0])
        raise V4eggError(
            f"{path}: {shown.where} has {int((shown.offset <= shown.onset).sum())} presentations whose stop is not "
            f"after the start, such as {shown.onset[row]:g} to {shown.offset[row]:g} s; correct them or "
            "set columns.stop"
        )
    return _without_doubles(path, shown, notes)


def _without_doubles(path: Path, shown: Presentations, notes: Notes) -> Presentations:
    """Presentations without rows that repeat another; two images at one onset are refused."""
    same_time = np.diff(shown.onset, prepend=-np.inf) == 0
    for row in np.flatnonzero(same_time):
        if _key(shown.ids[row]) != _key(shown.ids[row - 1]):
            raise V4eggError(
                f"{path}: {shown.where} shows {_name(shown.ids[row - 1])} and {_name(shown.ids[row])} both at "
                f"{shown.onset[row]:g} s; keep one of them with columns.presentations_filter"
            )
    notes.leave_out("the row repeats another", int(same_time.sum()))
    shown = shown.keep(~same_time)
    overlapping = int((shown.offset[:-1] > shown.onset[1:] + 1e-6).sum())
    if overlapping:
        notes.warnings.append(
            f"{path.name}: {overlapping} of {len(shown)} presentations of {shown.where} end after the next one begins"
        )
    return shown


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else id(value)


def _name(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else value.name
