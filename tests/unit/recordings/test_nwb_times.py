"""When units of an NWB file were recorded: what intervals that contradict themselves or the presentations come to."""

import numpy as np
import pytest

from nwb_files import ONSET, UNITS, Session, counted, named, true_counts
from v4egg.errors import V4eggError

ALL = [[0.0, 20.0]]


def session(obs_intervals=None, invalid=None):
    columns = {} if obs_intervals is None else {"obs_intervals": obs_intervals}
    made = Session().units(**columns).images().presentations(named())
    if invalid is not None:
        made.nwb.add_invalid_time_interval(start_time=invalid[0], stop_time=invalid[1])
    return made


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"obs_intervals": [[[9.0, 0.0]], ALL]}, "obs_intervals of unit s1-u000 has an interval from 9 to 0 s"),
        (
            {"invalid": (3.0, 2.0)},
            "/intervals/invalid_times has an interval from 3 to 2 s, which ends before it starts",
        ),
        ({"invalid": (3.0, np.nan)}, "/intervals/invalid_times has an interval without start or stop"),
        ({"obs_intervals": [[[1000.0, 2000.0]]] * UNITS}, "invalid_times, which name 1000 to 2000 s; correct these"),
        ({"invalid": (0.0, 100.0)}, "presentations lie from 1 to 3.1 s, and no unit was recorded during any of them"),
    ],
)
def test_intervals_that_cannot_be_are_refused(tmp_path, given, words):
    with pytest.raises(V4eggError) as caught:
        session(**given).read(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_unit_that_was_never_recorded_is_missing_and_told(tmp_path):
    recording = session([ALL, [[50.0, 60.0]]]).read(tmp_path)
    found, expected = counted(recording), true_counts()
    np.testing.assert_array_equal(found[:, 0], expected[:, 0])
    assert np.isnan(found[:, 1]).all()
    assert any("recorded during no presentation: s1-u001" in line for line in recording.warnings)


def test_touching_intervals_are_one(tmp_path):
    cut = float(ONSET[3]) + 0.1  # inside a response window
    recording = session([[[cut, 20.0], [0.0, cut]], ALL]).read(tmp_path)
    np.testing.assert_array_equal(counted(recording), true_counts())
