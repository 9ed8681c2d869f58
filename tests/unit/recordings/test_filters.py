"""Filters of rows, blanks, and rows that say that nothing was shown."""

import numpy as np
import pytest

from v4egg.errors import V4eggError
from v4egg.recordings.filters import filtered, is_blank, matches, values_not_shown

TABLE = {"block": [1, 1, 2, 2, 3], "outcome": ["correct", "aborted", "correct", "", "error"]}


def kept(wanted):
    left_out = {}

    def values_of(name):
        return TABLE[name]

    keep = filtered(5, wanted, values_of, left_out.__setitem__, "a.csv: columns.presentations_filter")
    return keep.tolist(), left_out


def test_filters_keep_rows_and_count_what_they_remove():
    assert kept(None) == ([True] * 5, {})
    assert kept({"block": 2}) == ([False, False, True, True, False], {"block is 1": 2, "block is 3": 1})
    keep, left_out = kept({"outcome": ["correct", None], "block": [1, 2]})
    assert keep == [True, False, True, True, False]
    assert left_out == {"outcome is aborted": 1, "outcome is error": 1}


def test_a_filter_that_keeps_nothing_is_refused():
    with pytest.raises(V4eggError, match=r"^a.csv: columns.presentations_filter keeps no row with block = 4; present"):
        kept({"block": 4})


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [
        ([1.0, 2.0], 1, [True, False]),
        (["1", "2"], 1, [True, False]),
        ([True, False], True, [True, False]),
        ([np.nan, None, "", 0], None, [True, True, True, False]),
        (["V4", "v4"], "V4", [True, False]),
    ],
)
def test_values_match(values, wanted, expected):
    assert matches(values, wanted).tolist() == expected


@pytest.mark.parametrize("value", ["", "NaN", "null", "N/A", "omitted", "BLANK ", None, np.nan, -1, np.int64(-1)])
def test_blanks(value):
    assert is_blank(value)


def test_blanks_of_a_configuration():
    assert is_blank("gray screen", ["gray screen"]) and not is_blank("blank", ["gray screen"])
    assert is_blank(99, [99]) and not is_blank(0) and not is_blank("image_0")


def test_columns_that_say_that_nothing_was_shown():
    assert values_not_shown("outcome", TABLE["outcome"]) == {"aborted"}
    assert values_not_shown("is_valid", [1, 0]) == {0}
    assert values_not_shown("image", [f"aborted{i}" for i in range(20)]) == set()
