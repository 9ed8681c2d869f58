"""Which rows of tables count: filters by column value, blanks, and rows that say that nothing was shown as planned."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from v4egg.errors import V4eggError

DEFAULT_BLANKS = ("", "nan", "none", "null", "n/a", "na", "blank", "omitted")
_NOT_SHOWN = re.compile(r"abort|invalid|broke|break|discard|reject|incomplete|interrupt|no_?stim", re.I)
_SHOWN = re.compile(r"^(is_?)?(valid|complete|completed|good|included?|keep|kept|usable|success|successful)$", re.I)
MANY = 5  # different values of a column, beyond which they are not listed


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or empty text."""
    return value is None or (isinstance(value, float) and np.isnan(value)) or (isinstance(value, str) and not value)


def matches(values: Iterable[Any], wanted: Any) -> np.ndarray:
    """Which values a filter keeps, bool (value,).

    Args:
        values: numbers, flags, texts or None.
        wanted: a number, flag, text or None (missing: None, NaN or empty text), or a list of them.

    Example:
        >>> matches(["V4", "V1", ""], ["V4", None]).tolist()
        [True, False, True]
    """
    options = wanted if isinstance(wanted, list | tuple) else [wanted]
    return np.array([any(_same(value, option) for option in options) for value in values], bool)


def is_blank(value: Any, words: Sequence[Any] | None = None) -> bool:
    """Whether the stimulus of a presentation is no image.

    Args:
        value: a text, a number or None. Missing values and negative numbers are blank.
        words: texts, in any case, and numbers that mean no image; None: :data:`DEFAULT_BLANKS`.

    Example:
        >>> is_blank("Blank"), is_blank(-1), is_blank("gray", ["gray"]), is_blank(0)
        (True, True, True, False)
    """
    words = DEFAULT_BLANKS if words is None else words
    if is_missing(value):
        return True
    if isinstance(value, str):
        return value.strip().lower() in {str(word).strip().lower() for word in words}
    if isinstance(value, bool | int | float | np.number):
        return bool(value < 0) or any(not isinstance(word, str) and value == word for word in words)
    return False


def filtered(
    rows: int,
    wanted: Mapping[str, Any] | None,
    values_of: Callable[[str], Sequence[Any]],
    leave_out: Callable[[str, int], None],
    where: str,
) -> np.ndarray:
    """Which rows of a table a filter keeps, bool (row,); what it removes is counted by its value.

    Args:
        rows: number of rows.
        wanted: by column, the value or the values to keep.
        values_of: returns the values of a column, and raises an error if there is none of that name.
        leave_out: called with a reason and a number of rows.
        where: the table and the key of the filter, for errors, such as ``a.csv: presentations_filter``.

    Raises:
        V4eggError: no row remains.
    """
    keep = np.ones(rows, bool)
    for name, options in (wanted or {}).items():
        values = values_of(name)
        passing = matches(values, options)
        for reason, count in _reasons(name, np.array(values, dtype=object)[keep & ~passing], options):
            leave_out(reason, count)
        keep &= passing
        if not keep.any():
            present = ", ".join(sorted({str(value) for value in values})[: 2 * MANY])
            raise V4eggError(f"{where} keeps no row with {name} = {options}; present are {present}")
    return keep


def values_not_shown(name: str, values: Sequence[Any]) -> set[Any]:
    """The values of a column that say that a picture was not shown as planned, such as ``aborted``.

    Example:
        >>> values_not_shown("outcome", ["correct", "aborted", "correct"])
        {'aborted'}
        >>> values_not_shown("valid", [True, False]), values_not_shown("aborted", [0, 1]), values_not_shown("x", [0, 1])
        ({False}, {1}, set())
    """
    different = set(values)
    if len(different) > 2 * MANY:
        return set()
    if all(isinstance(value, str) for value in different):
        return {value for value in different if _NOT_SHOWN.search(value)}
    if different <= {0, 1}:  # flags too
        if _SHOWN.search(name):
            return {value for value in different if not value}
        if _NOT_SHOWN.search(name):
            return {value for value in different if value}
    return set()


def _same(value: Any, option: Any) -> bool:
    if option is None:
        return is_missing(value)
    if isinstance(value, str) != isinstance(option, str):
        return str(value) == str(option)
    return bool(value == option)


def _reasons(name: str, removed: np.ndarray, wanted: Any) -> list[tuple[str, int]]:
    gone = ["missing" if is_missing(value) else str(value) for value in removed]
    if len(set(gone)) > MANY:
        return [(f"{name} is not {wanted}", len(gone))]
    return [(f"{name} is {value}", gone.count(value)) for value in sorted(set(gone))]
