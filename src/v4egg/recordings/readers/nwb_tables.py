"""Tables of NWB files: their columns as hdmf resolves them (codes, rows of other tables, references, lists)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from hdmf.common import DynamicTable, DynamicTableRegion, EnumData, VectorIndex
from hdmf.container import AbstractContainer
from pynwb.base import TimeSeriesReferenceVectorData

from v4egg.errors import V4eggError
from v4egg.recordings.readers.description import Answer
from v4egg.recordings.readers.notes import OpenQuestion, listed

Values: TypeAlias = list[Any]
NAME_LIKE = ("image_name", "stimulus_name", "name", "image", "stimulus", "image_id", "stimulus_id", "filename", "file")
_EXAMPLES = 3


@dataclass(frozen=True)
class FrameOf:
    """A sample of a series that a column refers to.

    Attributes:
        start: number of the first sample.
        count: number of samples.
        series: the series.
    """

    start: int
    count: int
    series: Any


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        where: its path, such as ``/intervals/trials/stimulus_id``, for messages.
        data: the column as hdmf holds it.
    """

    where: str
    data: Any

    @property
    def indexed(self) -> bool:
        """Whether a row holds a list of values; lists of one value each count as values."""
        return isinstance(self.data, VectorIndex) and not (self.lengths() == 1).all()

    @property
    def target(self) -> Any:
        """The column that holds the values: of an indexed column the one that it points into."""
        data = self.data
        while isinstance(data, VectorIndex):
            data = data.target
        return data

    @property
    def kind(self) -> str:
        """What the values are: number, flag, text, code, row (of another table), reference, series or array."""
        target = self.target
        if isinstance(target, EnumData):
            return "code"
        if isinstance(target, DynamicTableRegion):
            return "row"
        if isinstance(target, TimeSeriesReferenceVectorData):
            return "series"
        if len(np.shape(target.data)) > 1:
            return "array"
        return _kind_of_values(target.data)

    @property
    def type(self) -> str:
        """The kind, with what it refers to, such as ``list of rows of stimuli``."""
        of_what = f" of {self.target.table.name}" if self.kind == "row" else ""
        return f"list of {self.kind}s{of_what}" if self.indexed else f"{self.kind}{of_what}"

    def values(self, path: Path, name_column: str | None = None) -> Values:
        """The values of all rows, resolved; of an indexed column those of all lists, one after the other.

        Args:
            path: the file, for messages.
            name_column: for rows of another table, its column that is taken, or ``row`` for their number.

        Returns:
            Per value a number, a flag, text, or the object that a reference points to.

        Raises:
            OpenQuestion: the values are rows of a table of which several columns could be meant.
            V4eggError: a code or row that does not exist, or values that are arrays.
        """
        return _resolved(path, self.where, self.target, slice(None), name_column)

    def examples(self) -> tuple[str, ...]:
        """The first values, as text."""
        return tuple(str(plain(value)) for value in self.beginning(_EXAMPLES))

    def beginning(self, number: int) -> Values:
        """So many of the first values, resolved as far as the file says how."""
        try:
            return _resolved(Path(), self.where, self.target, slice(0, number), None)
        except V4eggError:
            return list(self.target.data[:number])

    def lengths(self) -> np.ndarray:
        """Of an indexed column, how many values each row has."""
        return np.diff(np.asarray(self.data.data[:], "int64"), prepend=0)


def columns_of(path: str, table: DynamicTable) -> dict[str, Column]:
    """The columns of a table by name."""
    return {str(name): Column(f"{path}/{name}", table[name]) for name in table.colnames}


def name_columns(table: DynamicTable) -> list[str]:
    """Columns that can name what the rows of a table of stimuli stand for, the most likely ones first."""
    columns = columns_of("", table)
    names = [name for name, column in columns.items() if not column.indexed and column.kind in ("text", "code")]
    names += [name for name, column in columns.items() if not column.indexed and column.kind == "reference"]
    return sorted(names, key=lambda name: NAME_LIKE.index(name) if name in NAME_LIKE else len(NAME_LIKE))


def scalar_columns(path: Path, where: str, table: DynamicTable) -> pd.DataFrame:
    """The columns with one number, flag or text per row, by name; codes and references resolved."""
    columns = {}
    for name, column in columns_of(where, table).items():
        if column.indexed or column.kind in ("array", "series", "row"):
            continue
        columns[name] = uniform([plain(value) for value in column.values(path)])
    return pd.DataFrame(columns, index=range(len(table)))


def uniform(values: Values) -> Any:
    """Values of one column as numbers where all are numbers, else as text."""
    if all(isinstance(value, bool | int | float) for value in values):
        return np.asarray(values)
    return ["" if value is None else str(value) for value in values]


def plain(value: Any) -> Any:
    """A value as a Python number, flag or text; an object is its name.

    Example:
        >>> plain(b"a"), plain(np.int64(3)), plain(np.bool_(True))
        ('a', 3, True)
    """
    if isinstance(value, bytes):
        return _text_of(value)
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, AbstractContainer):
        return value.name
    return value


def _text_of(value: bytes) -> str:
    """Text of bytes, which MATLAB and older programs write in the Latin-1 encoding."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _kind_of_values(data: Any) -> str:
    dtype = np.asarray(data[:1]).dtype if len(data) else np.dtype(float)
    if dtype.kind == "b":
        return "flag"
    if dtype.kind in "iuf":
        return "number"
    first = data[0]
    return "reference" if isinstance(first, AbstractContainer) else "text"


def _resolved(path: Path, where: str, column: Any, rows: slice, name_column: str | None) -> Values:
    if isinstance(column, EnumData):
        return _decoded(path, where, column, rows)
    if isinstance(column, DynamicTableRegion):
        return _rows_of_table(path, where, column, rows, name_column)
    if isinstance(column, TimeSeriesReferenceVectorData):
        return [FrameOf(plain(ref.idx_start), plain(ref.count), ref.timeseries) for ref in column[rows]]
    if len(np.shape(column.data)) > 1:
        raise V4eggError(f"{path}: {where} holds an array in each row, not one value; name another column")
    return [value if isinstance(value, AbstractContainer) else plain(value) for value in column.data[rows]]


def _decoded(path: Path, where: str, column: EnumData, rows: slice) -> Values:
    elements = [plain(value) for value in column.elements.data[:]]
    codes = np.asarray(column.data[rows], "int64")
    if len(codes) and (codes.min() < 0 or codes.max() >= len(elements)):
        raise V4eggError(f"{path}: {where} has a code without one of the {len(elements)} elements; correct the column")
    return [elements[code] for code in codes]


def _rows_of_table(path: Path, where: str, column: DynamicTableRegion, rows: slice, name_column: str | None) -> Values:
    table = column.table
    columns = columns_of(table.name, table)
    positions = np.asarray(column.data[rows], "int64")
    if len(positions) and (positions.min() < 0 or positions.max() >= len(table)):
        raise V4eggError(
            f"{path}: {where} has a row that {table.name}, of {len(table)} rows, lacks; correct the column"
        )
    if name_column is None:
        name_column = only_name_column(path, where, table)
    if name_column == "row" and "row" not in columns:
        return positions.tolist()
    if name_column not in columns:
        raise V4eggError(
            f"{path}: {where} has rows of {table.name}, which has no column {name_column} but {listed(columns)}; "
            "set columns.stimulus_name to one of them"
        )
    names = columns[name_column].values(path)
    return [names[position] for position in positions]


def only_name_column(path: Path, where: str, table: DynamicTable, but: str = "") -> str:
    """The column of a table of stimuli that names them, where only one can.

    Args:
        path: the file, for messages.
        where: the column that refers to the table, for messages.
        table: the table.
        but: a column that is not meant.

    Raises:
        OpenQuestion: none or several can.
    """
    names = [name for name in name_columns(table) if name != but]
    likely = [name for name in names if name in NAME_LIKE]
    if len(names) == 1 or len(likely) == 1:
        return (likely or names)[0]
    columns = columns_of("", table)
    answers = [Answer(name, f"such as {listed(columns[name].examples())}") for name in names or columns]
    answers += [Answer("row", "the number of the row")]
    text = f"{where} has rows of the table {table.name}, and which of its columns names the images is not clear"
    raise OpenQuestion(path, "columns.stimulus_name", text, answers)


def expanded(values: Sequence[Any], lengths: np.ndarray) -> list[Any]:
    """Values of rows repeated for each entry of the rows' lists."""
    return [value for value, length in zip(values, lengths, strict=True) for _ in range(length)]
