"""What a reader tells about a file before it reads it: the contents, what it would take as what, and what it must ask.

`v4egg inspect` prints a description and `v4egg init` writes a configuration from it, whatever the reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from v4egg.errors import V4eggError
from v4egg.recordings.outline import Outline


def in_yaml(value: Any) -> str:
    """A value in one line of YAML.

    Example:
        >>> in_yaml("a: b"), in_yaml({"location": "V4"}), in_yaml(None)
        ("'a: b'", '{location: V4}', 'null')
    """
    text = str(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False))
    return text.removesuffix("...\n").strip()


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its name.
        kind: its type in words, such as ``float64``, ``text`` or ``rows of /stimuli``.
        examples: some of its values, as text, in the order of the rows.
        note: what is known of all values, such as ``12 different, from 0 to 11``.
    """

    name: str
    kind: str
    examples: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a file.

    Attributes:
        name: where it is in the file, such as ``/intervals/trials``.
        rows: number of rows.
        columns: its columns.
    """

    name: str
    rows: int
    columns: Sequence[Column] = ()


@dataclass(frozen=True)
class ImageSet:
    """A container, a stack or a folder of images.

    Attributes:
        name: where it is, such as ``/stimulus/templates/images`` or ``pictures/``.
        kind: what it is, such as ``Images``, ``ImageSeries`` or ``folder``.
        images: number of images.
        shape: of one image as it is stored, such as ``(64, 48, 3)``; None if they differ.
        dtype: of the stored values.
        low: lowest value that was seen.
        high: highest value that was seen.
        sampled: number of images that were looked at.
        examples: some of the names.
        note: anything else, such as ``the container states no order``.
    """

    name: str
    kind: str
    images: int
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    low: float | None = None
    high: float | None = None
    sampled: int = 0
    examples: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class UnitFacts:
    """The units of a file.

    Attributes:
        units: their number.
        groups: column -> value -> number of units, for columns with few values, such as the location.
        rate: lowest, median and highest rate in spikes/s; None where times of spikes are not known.
        note: anything else, such as when they were recorded.
    """

    units: int
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rate: tuple[float, float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Span:
    """When something happened.

    Attributes:
        what: ``spikes``, ``presentations``, ``invalid times`` and so on.
        start: of the first, in s.
        stop: of the last, in s.
        note: such as how many there are, or how many presentations they overlap.
    """

    what: str
    start: float
    stop: float
    note: str = ""


@dataclass(frozen=True)
class Taken:
    """What the reader takes as what where the configuration does not say.

    Attributes:
        key: key below the session in a configuration, such as ``columns.table``; or a word such as ``order``.
        value: what is taken.
        why: the reason, in words.
        certain: whether the file tells so. What is not certain is no answer of the user: `v4egg init` writes it as a
            comment, so that warnings stay.
    """

    key: str
    value: Any
    why: str
    certain: bool = True


@dataclass(frozen=True)
class Answer:
    """A possible answer to a question.

    Attributes:
        value: of the key.
        why: what speaks for it, or what it means.
    """

    value: Any
    why: str = ""


@dataclass(frozen=True)
class Question:
    """What the file does not tell, and the configuration has to.

    Attributes:
        key: key below the session in a configuration, such as ``columns.images``.
        text: what is not clear, a statement about the file without a full stop.
        answers: those that are possible; without a value that is known, an example.
    """

    key: str
    text: str
    answers: Sequence[Answer]

    def error(self, where: str) -> V4eggError:
        """The refusal to read before the question is answered.

        Args:
            where: the file.

        Example:
            >>> str(Question("columns.table", "two tables hold onsets", [Answer("a"), Answer("b")]).error("x.nwb"))
            'x.nwb: two tables hold onsets; set columns.table to one of: a, b'
        """
        values = ", ".join(in_yaml(answer.value) for answer in self.answers)
        return V4eggError(f"{where}: {self.text}; set {self.key} to one of: {values}")


@dataclass
class Description:
    """All that a reader tells about a file.

    Attributes:
        format: name of the reader.
        kind: what the file is, such as ``NWB 2.8.0 over HDF5``.
        tables: its tables.
        image_sets: its images.
        units: its units; None if it has none.
        spans: when what happened.
        taken: what the reader takes as what.
        suggested: what a configuration may want to say and need not, such as a filter of presentations.
        questions: what it has to ask; empty if the file can be read as it is.
        refusal: why the file cannot be read whatever is answered; empty if it can.
        warnings: what a user should look at, one line each.
        options: options of the reader beside those of ``taken``, such as ``{"file": "x.nwb"}``.
        outline: what would be read, in numbers; None if that depends on an answer.
    """

    format: str
    kind: str
    tables: list[Table] = field(default_factory=list)
    image_sets: list[ImageSet] = field(default_factory=list)
    units: UnitFacts | None = None
    spans: list[Span] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    suggested: list[Taken] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    refusal: str = ""
    warnings: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    outline: Outline | None = None
