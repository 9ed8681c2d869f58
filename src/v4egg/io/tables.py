"""Tables as people write them: CSV with commas, semicolons or tabs, or Parquet. Nothing is guessed about a cell.

Cells of CSV are text until a column is asked for as numbers, so that an id such as ``007`` stays what it is.
"""

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastparquet
import numpy as np
import pandas as pd

from v4egg.errors import V4eggError

SUFFIXES = (".csv", ".tsv", ".parquet")
MISSING = ("", "nan", "na", "n/a", "#n/a", "null", "none")  # as a number, in any case
_SEPARATORS = (";", "\t", ",")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?(e[+-]\d+)?", re.ASCII | re.IGNORECASE)  # not 007 and not 1e5
_EXAMPLES = 3


def read_table(path: str | Path, *, long: str | None = None) -> pd.DataFrame:
    """Read a table.

    Args:
        path: a file that ends in ``.csv`` or ``.tsv`` (the separator is that of the header: semicolon, tab or comma; a
            byte order mark and UTF-16 are understood) or in ``.parquet``.
        long: a column of numbers, for tables of millions of rows: of CSV it is read as such where that is possible, and
            the others as categories, which takes a fraction of the memory.

    Returns:
        Its columns: of CSV as text, of Parquet as they are stored. A first column without a name that numbers the rows,
        as pandas writes it, is left out.

    Raises:
        V4eggError: the file is missing or unreadable, a row has more or fewer fields than the header, or a name of a
            column is missing or there twice.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "presentations.csv"
        >>> _ = path.write_text("stimulus;onset\\n007;0,5\\n", "utf-8-sig")
        >>> read_table(path).to_dict("list")
        {'stimulus': ['007'], 'onset': ['0,5']}
    """
    path = Path(path)
    if not path.is_file():
        raise V4eggError(f"{path}: there is no such table; correct the path")
    if path.suffix.lower() not in SUFFIXES:
        raise V4eggError(f"{path}: not a table that can be read ({', '.join(SUFFIXES)}); convert it to CSV")
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path, long)


def column_of(table: pd.DataFrame, name: str, path: str | Path, key: str) -> pd.Series:
    """A column of a table.

    Args:
        table: the table.
        name: the column's name.
        path: the file, for the error.
        key: the key of the configuration that names the column, for the error.

    Raises:
        V4eggError: the table has no such column.
    """
    if name not in table:
        raise V4eggError(f"{path}: no column {name}; columns are {', '.join(map(str, table))}; set {key}")
    return table[name]


def numbers(column: pd.Series, path: str | Path) -> np.ndarray:
    """A column as numbers.

    Args:
        column: of :func:`read_table`. Numbers may have a decimal comma where fields are separated otherwise.
        path: the file, for errors.

    Returns:
        float64 (row,), NaN where a cell is empty or says that it is missing, such as ``NA``.

    Raises:
        V4eggError: a cell is no number.

    Example:
        >>> numbers(pd.Series(["1.5", "", "2"], name="onset"), "presentations.csv").tolist()
        [1.5, nan, 2.0]
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy("float64", na_value=np.nan)
    quick = pd.to_numeric(column, errors="coerce").to_numpy("float64", na_value=np.nan)
    if np.isfinite(quick).all():
        return quick
    texts = pd.Series([_text(value) for value in column], dtype=object)
    missing = texts.str.casefold().isin(MISSING)
    given = texts[~missing]
    commas = given.str.contains(",")
    if commas.any():
        _check_decimal_commas(given, commas, column.name, path)
        given = given.str.replace(",", ".")
    values = pd.to_numeric(given, errors="coerce")
    wrong = ~np.isfinite(values.to_numpy("float64"))
    if wrong.any():
        row = given.index[wrong][0]
        raise V4eggError(
            f"{path}: {column.name} is '{texts[row]}' in row {row + 1} ({wrong.sum()} such rows), not a finite number; "
            "correct it, or leave it empty where it is missing"
        )
    result = np.full(len(texts), np.nan)
    result[(~missing).to_numpy()] = values.to_numpy("float64")
    return result


def texts(column: pd.Series) -> list[Any]:
    """A column as text; a whole number is written without a decimal point, and a missing value is None.

    Example:
        >>> texts(pd.Series([1.0, np.nan, 3.0])), texts(pd.Series(["007", " a "]))
        (['1', None, '3'], ['007', 'a'])
    """
    return [None if value is None or value is pd.NA or value != value else _text(value) for value in column]


def typed(column: pd.Series) -> list[Any]:
    """The cells of a column as numbers where all that are not empty are numbers, else as text.

    Returns:
        Numbers or flags, NaN where empty; or texts, empty where missing. Text with leading zeros or such as
        ``1e5`` is an id, and stays text.

    Example:
        >>> typed(pd.Series(["1", "2"])), typed(pd.Series(["1", ""])), typed(pd.Series(["01", "02"]))
        ([1, 2], [1.0, nan], ['01', '02'])
    """
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        whole: list[Any] = (
            column.to_numpy("float64", na_value=np.nan).tolist() if column.isna().any() else column.tolist()
        )
        return whole
    given = [text or "" for text in texts(column)]
    filled = [text for text in given if text]
    if not filled or not all(_NUMBER.fullmatch(text) for text in filled):
        return list(given)
    if len(filled) < len(given) or not all(_WHOLE.fullmatch(text) for text in filled):
        return [float(text) if text else np.nan for text in given]
    return [int(text) for text in given]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _check_decimal_commas(given: pd.Series, commas: pd.Series, name: Any, path: str | Path) -> None:
    """Refuse commas that are not the decimal mark of all numbers of a column."""
    wrong = given[commas & ~given.str.fullmatch(_DECIMAL_COMMA)]
    mixed = given[given.str.contains(".", regex=False)]
    if len(wrong) or len(mixed):
        listed = ", ".join(f"'{text}'" for text in [*wrong, *mixed][:_EXAMPLES])
        raise V4eggError(f"{path}: {name} has numbers with commas and others such as {listed}; use one decimal mark")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = fastparquet.ParquetFile(str(path)).to_pandas(index=False)
    except Exception as error:  # a damaged file fails in the parser with many types
        raise V4eggError(f"{path}: not a readable Parquet file ({_short(error)}); write it again") from error
    return table.drop(columns=[name for name in table if re.fullmatch(r"__index_level_\d+__", str(name))])


def _read_csv(path: Path, long: str | None) -> pd.DataFrame:
    encoding = _encoding(path)
    try:
        names, separator = _header(path, encoding)
        _check_rows(path, encoding, separator, len(names))
        how: dict[str, Any] = {"sep": separator, "encoding": encoding, "na_filter": False, "skipinitialspace": True}
        how |= {"header": 0, "names": range(len(names))}
        if long in names:
            table = _read_long(path, names.index(long), len(names), how)
        else:
            table = pd.read_csv(path, dtype=str, **how)
    except UnicodeDecodeError as error:
        raise V4eggError(f"{path}: not text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise V4eggError(f"{path}: not a readable CSV file ({error}); write it again") from error
    table.columns = pd.Index(names)
    if names[0] == "" and _numbers_rows(table.iloc[:, 0]):
        table = table.iloc[:, 1:]
    _check_names(path, [str(name) for name in table])
    return table


def _read_long(path: Path, numeric: int, width: int, how: dict[str, Any]) -> pd.DataFrame:
    """Read a table of which one column is numbers and the others have few different values."""
    dtypes = dict.fromkeys(range(width), "category")
    try:
        return pd.read_csv(path, dtype={**dtypes, numeric: "float64"}, **how)
    except ValueError:  # decimal commas, or cells without a number
        return pd.read_csv(path, dtype={**dtypes, numeric: "str"}, **how)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _header(path: Path, encoding: str) -> tuple[list[str], str]:
    """Names of the columns, and the separator: the first of semicolon, tab and comma that the header has."""
    with path.open(encoding=encoding, newline="") as file:
        line = file.readline()
    if not line.strip():
        raise V4eggError(f"{path}: the first line is empty; begin with the names of the columns")
    separator = next((mark for mark in _SEPARATORS if mark in line), ",")
    return [name.strip() for name in next(csv.reader([line], delimiter=separator, strict=True))], separator


def _check_rows(path: Path, encoding: str, separator: str, width: int) -> None:
    """Refuse rows whose fields cannot belong to the columns."""
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=True)
        for fields in reader:
            if len(fields) != width and fields:
                raise V4eggError(
                    f"{path}: line {reader.line_num} has {len(fields)} fields, and the header {width}; correct it, and "
                    "separate fields by semicolons where numbers have a decimal comma"
                )


def _check_names(path: Path, names: Sequence[str]) -> None:
    if "" in names:
        raise V4eggError(f"{path}: column {names.index('') + 1} has no name; give it one")
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise V4eggError(f"{path}: there are several columns {double[0]}; give each a name of its own")


def _numbers_rows(column: pd.Series) -> bool:
    """Whether a column counts the rows from 0, as an index does."""
    return [str(value) for value in column] == [str(row) for row in range(len(column))]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
