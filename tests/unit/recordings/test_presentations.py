"""Presentations against the response window."""

import numpy as np
import pandas as pd
import pytest

from v4egg.errors import V4eggError
from v4egg.recordings.presentations import count_presentations, recorded_by_any, window_fit
from v4egg.recordings.recording import Recording

WINDOW = (0.07, 0.17)
UNITS = ["s1-u000", "s1-u001"]


def shown(onset, offset, image, recorded=None):
    trials = pd.DataFrame({"image": image, "onset": onset, "offset": offset})
    images, spikes = np.zeros((3, 1, 4, 4), "uint8"), {unit: np.array([0.1]) for unit in UNITS}
    recorded = recorded and {unit: np.asarray(rows, float) for unit, rows in zip(UNITS, recorded, strict=True)}
    return Recording("s1", images, pd.DataFrame(index=UNITS), list("abc"), trials, spikes, recorded=recorded)


def counted(counts, repeats_averaged=1):
    counts = np.asarray(counts, "float32")
    images, units = np.zeros((len(counts), 1, 4, 4), "uint8"), pd.DataFrame(index=UNITS)
    ids = list("abc")[: len(counts)]
    return Recording("s1", images, units, ids, counts=counts, repeats_averaged=repeats_averaged)


def test_short_and_overlapping_presentations_are_counted():
    onset = np.array([0.0, 1.0, 1.06, 2.0, 2.098])
    found = window_fit(shown(onset, [0.1, 1.05, 1.16, 2.098, np.nan], [0, 1, 2, 0, 1]), WINDOW)
    assert (found.presentations, found.shorter, found.overlapping, found.unrecorded) == (5, 1, 1, 0)
    assert found.words() == [
        "1 of 5 presentations is shorter than the response window",
        "1 of 5 presentations is followed by another before the response window ends: those spikes count twice",
    ]
    assert window_fit(shown([0.0, 0.1], [0.1, 0.2], [0, 1]), WINDOW).words() == []


def test_a_presentation_counts_if_one_unit_was_recorded_throughout_its_window():
    recorded = [[[0.0, 1.1]], [[1.08, 9.0]]]
    source = shown([0.0, 1.0, 2.0, 9.0], [0.1, 1.1, 2.1, 9.1], [0, 1, 2, 2], recorded)
    np.testing.assert_array_equal(recorded_by_any(source, WINDOW), [True, False, True, False])
    np.testing.assert_array_equal(count_presentations(source, WINDOW), [1, 0, 1])
    np.testing.assert_array_equal(count_presentations(source), [1, 1, 2])
    assert window_fit(source, WINDOW).unrecorded == 2
    source.recorded = None
    np.testing.assert_array_equal(count_presentations(source, WINDOW), [1, 1, 2])


def test_counts_are_presentations_where_any_unit_has_one():
    counts = np.ones((3, 4, 2), "float32")
    counts[0, 2:], counts[1, :, 0], counts[2] = np.nan, np.nan, np.nan
    np.testing.assert_array_equal(count_presentations(counted(counts), WINDOW), [2, 4, 0])
    np.testing.assert_array_equal(count_presentations(counted(counts[:2], 5), WINDOW), [10, 20])


def test_presentations_must_exist_and_show_images_that_exist():
    with pytest.raises(V4eggError, match="s1: no presentation"):
        window_fit(shown([], [], []), WINDOW)
    with pytest.raises(V4eggError, match="shows image 3 of 3"):
        count_presentations(shown([0.0, 1.0], [0.1, 1.1], [0, 3]), WINDOW)
