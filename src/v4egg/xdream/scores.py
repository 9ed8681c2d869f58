"""Tables of scores as laboratories write them: ``id`` and ``score``, a row for each presentation.

The separator is a comma, a semicolon or a tab, as the header shows; with semicolons or tabs numbers may have a decimal
comma. Files may begin with a byte order mark and have any line ends. Further columns are ignored.
"""

import codecs
import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from v4egg.errors import V4eggError

MISSING = ("", "nan", "na", "n/a", "#n/a", "null")  # in any case
COLUMNS = ("id", "score")
NAMED = 3  # ids that a message names
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")


@dataclass(frozen=True)
class Scores:
    """The rows of a table of scores, by image.

    Attributes:
        values: id -> the score of each presentation, NaN where it was lost.
        whole: whether the last line has an end, so that it cannot be half of a line.

    Example:
        >>> table = read_scores(b"id;score\\r\\na;1,5\\r\\na;2,5\\r\\nb;\\r\\n", ["a", "b"], "scores.csv")
        >>> table.values, table.means(["a", "b"]).tolist()
        ({'a': [1.5, 2.5], 'b': [nan]}, [2.0, nan])
    """

    values: Mapping[str, Sequence[float]]
    whole: bool

    def lacking(self, ids: Sequence[str], repeats: int) -> list[str]:
        """Those of the images that have fewer rows than ``repeats``."""
        return [name for name in ids if len(self.values.get(name, ())) < repeats]

    def means(self, ids: Sequence[str]) -> np.ndarray:
        """Mean score (B,) of each image over its presentations that were not lost; NaN where all were."""
        finite = [[value for value in self.values[name] if not math.isnan(value)] for name in ids]
        return np.array([np.mean(values) if values else np.nan for values in finite])

    def presentations(self, ids: Sequence[str]) -> np.ndarray:
        """Number of rows (B,) of each image."""
        return np.array([len(self.values[name]) for name in ids])


def read_scores(content: bytes, ids: Sequence[str], where: str, whole: bool = False) -> Scores:
    """Read a table of scores.

    Args:
        content: of the file.
        ids: of the images that were presented.
        where: name of the file, for errors.
        whole: whether the file is known to be complete. If not, a last line without an end, which may be half of one,
            is left out.

    Raises:
        V4eggError: the table is unreadable, lacks a column, or has an unknown id or a score that is not a number.
    """
    lines, whole = _lines(content, where, whole)
    if not lines:
        return Scores({}, whole)
    rows = _Rows(lines, where)
    expected = set(ids)
    values: dict[str, list[float]] = {}
    for line, name, text in rows:
        if name not in expected:
            raise V4eggError(f"{where}:{line}: unknown id '{name}'; give ids of this round's images.csv")
        values.setdefault(name, []).append(rows.number(text, line))
    return Scores(values, whole)


def first_ids(ids: Sequence[str]) -> str:
    """The first ids of a list, and how many more there are.

    >>> first_ids(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _lines(content: bytes, where: str, whole: bool) -> tuple[list[str], bool]:
    """The lines, without the last if it may be half of one, and whether these are all."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    last_end = len(content) // 2 * 2 if wide else max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
    end = len(content) if whole else last_end
    try:
        text = content[:end].decode("utf-16" if wide else "utf-8-sig") + ("\n" if whole else "")
    except UnicodeDecodeError as error:
        raise V4eggError(f"{where}: no readable table ({error}); write CSV in UTF-8, columns id and score") from None
    lines = _LINE.findall(text)
    complete = end == len(content) and sum(map(len, lines)) == len(text)
    return [line.rstrip("\r\n") for line in lines], complete


class _Rows:
    """Rows (line, id, score as text) of a table, and numbers as it writes them."""

    def __init__(self, lines: Sequence[str], where: str) -> None:
        self.where, self.lines = where, lines
        self.separator = next((mark for mark in (";", "\t") if mark in lines[0]), ",")
        self.decimal_mark = ""  # of the first number that has one
        header = [name.strip().casefold() for name in self._fields(0)]
        if any(header.count(column) != 1 for column in COLUMNS):
            raise V4eggError(f"{where}: columns are {', '.join(header) or 'none'}; give id and score, each once")
        self.width, (self.id, self.score) = len(header), map(header.index, COLUMNS)

    def __iter__(self) -> Iterator[tuple[int, str, str]]:
        """Number of the line, id, and score as it is written, of each row."""
        for index in range(1, len(self.lines)):
            fields = [field.strip() for field in self._fields(index)]
            if not any(fields):
                continue
            if len(fields) < self.width or any(fields[self.width :]):
                raise V4eggError(
                    f"{self.where}:{index + 1}: {len(fields)} fields, and the header has {self.width}; leave a score "
                    "empty where it is missing, and separate by semicolons where numbers have a decimal comma"
                )
            yield index + 1, fields[self.id], fields[self.score]

    def _fields(self, index: int) -> list[str]:
        try:
            return next(csv.reader([self.lines[index]], delimiter=self.separator, strict=True), [])
        except csv.Error as error:
            raise V4eggError(f"{self.where}:{index + 1}: no readable row ({error}); write plain CSV") from None

    def number(self, text: str, line: int) -> float:
        """A score; NaN where it is missing."""
        if text.casefold() in MISSING:
            return math.nan
        mark = "," if self.separator != "," and "," in text else "." if "." in text else ""
        if mark and self.decimal_mark and mark != self.decimal_mark:
            raise V4eggError(
                f"{self.where}:{line}: score is '{text}', and others have '{self.decimal_mark}' as the decimal mark; "
                "use one mark"
            )
        self.decimal_mark = self.decimal_mark or mark
        plain = text.replace(",", ".") if mark == "," else text
        if not _NUMBER.fullmatch(plain):
            raise V4eggError(
                f"{self.where}:{line}: score is '{text}', not a finite number; leave it empty where it is missing"
            )
        return float(plain)
