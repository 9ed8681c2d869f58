"""Intervals against a grid of points in time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v4egg.errors import V4eggError
from v4egg.recordings.intervals import contain, cut_out, merge

whole = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6)
MIDDLES = np.arange(20) + 0.5


def covered(intervals):
    """Which of the unit steps of 0-20 lie inside any of the intervals."""
    return np.array([any(start < t < stop for start, stop in intervals) for t in MIDDLES], bool)


@given(intervals=whole)
def test_merging_covers_the_same_time_with_disjoint_intervals(intervals):
    found = merge(np.array(intervals, float).reshape(-1, 2))
    np.testing.assert_array_equal(covered(found), covered(intervals))
    assert (found[:, 1] > found[:, 0]).all() and (found[1:, 0] > found[:-1, 1]).all()


@given(intervals=whole, invalid=whole)
def test_what_is_cut_out_is_no_longer_covered(intervals, invalid):
    found = cut_out(np.array(intervals, float).reshape(-1, 2), np.array(invalid, float).reshape(-1, 2))
    np.testing.assert_array_equal(covered(found), covered(intervals) & ~covered(invalid))
    np.testing.assert_array_equal(found, merge(found))


@given(intervals=whole, start=st.integers(0, 19), length=st.integers(1, 5))
def test_a_window_is_contained_if_all_its_steps_are(intervals, start, length):
    inside = covered(merge(np.array(intervals, float).reshape(-1, 2)))
    window = (start + length > 20) or inside[start : start + length].all()
    found = contain(merge(np.array(intervals, float).reshape(-1, 2)), np.array([start]), np.array([start + length]))
    assert found.tolist() == [bool(window) and start + length <= 20]


def test_intervals_need_two_numbers_each():
    with pytest.raises(V4eggError, match=r"shape \(3,\)"):
        merge(np.arange(3.0))
