"""The recording as a store: its fields come back, spikes are read when asked for, impossible intervals are refused."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from v4egg import load_recording
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings.recording import Recording

UNITS = ["s1-u000", "s1-u001", "s1-u002"]
SPIKES = {"s1-u000": np.array([0.1, 0.2, 1.3]), "s1-u001": np.array([]), "s1-u002": np.array([0.5])}


def recording(**changes):
    units = pd.DataFrame({"depth (um)": [1.5, 2.0, 2.5], "area/layer": ["V4/2", "V4/3", "V1/2"]}, index=UNITS)
    trials = pd.DataFrame({"image": [0, 1], "onset": [0.0, 1.0], "offset": [0.1, np.nan]})
    images = np.arange(2 * 16, dtype="uint8").reshape(2, 1, 4, 4)
    return Recording(
        **{
            "session": "s1",
            "images": images,
            "units": units,
            "image_ids": ["a", "b"],
            "trials": trials,
            "spikes": SPIKES,
            **changes,
        }
    )


class Counting(Mapping):
    """Spikes that are made when asked for, and remember how many units are in memory together."""

    def __init__(self):
        self.asked = []

    def __getitem__(self, unit):
        self.asked.append(unit)
        return SPIKES[unit]

    def __iter__(self):
        return iter(SPIKES)

    def __len__(self):
        return len(SPIKES)


def test_a_store_gives_back_every_field(tmp_path):
    recorded = {
        "s1-u000": np.array([[0.0, 1.0], [2.0, np.inf]]),
        "s1-u001": np.empty((0, 2)),
        "s1-u002": [[-np.inf, 3]],
    }
    given = recording(recorded=recorded, left_out={"stimulus is blank": 12}, warnings=["no stop of the last trial"])
    given.save(tmp_path / "s1.zarr")
    found = load_recording(tmp_path / "s1.zarr")
    pd.testing.assert_frame_equal(found.trials, given.trials)
    pd.testing.assert_frame_equal(found.units, given.units, check_names=False, check_like=True)
    np.testing.assert_array_equal(found.images, given.images)
    assert list(found.spikes) == UNITS
    for unit in UNITS:
        np.testing.assert_array_equal(found.spikes[unit], SPIKES[unit])
        np.testing.assert_array_equal(found.recorded[unit], np.asarray(recorded[unit]))
    assert found.left_out == {"stimulus is blank": 12}
    assert found.warnings == ["no stop of the last trial"]
    with pytest.raises(KeyError):
        found.spikes["s1-u003"]


def test_without_intervals_a_unit_is_always_recorded(tmp_path):
    recording().save(tmp_path / "s1.zarr")
    found = load_recording(tmp_path / "s1.zarr")
    assert found.recorded is None and found.left_out == {} and found.warnings == []


def test_spikes_are_written_in_pieces_and_read_unit_by_unit(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "STREAM_BYTES", 16)  # two spikes a shard
    monkeypatch.setattr(stores, "CHUNK_BYTES", 8)
    lazy = Counting()
    recording(spikes=lazy).save(tmp_path / "pieces.zarr")
    assert lazy.asked.count("s1-u002") == 2  # once for its number, once for its times
    stored = stores.load(tmp_path / "pieces.zarr")
    np.testing.assert_array_equal(stored["spike_times"], np.concatenate(list(SPIKES.values())))
    assert stored["spike_times"].attrs["units"] == "s"
    assert stored.attrs["digest"] == stores.digest(stored)
    monkeypatch.undo()
    recording().save(tmp_path / "whole.zarr")
    assert stores.load(tmp_path / "whole.zarr").attrs["digest"] == stored.attrs["digest"]


def test_impossible_intervals_are_refused():
    always = np.array([[-np.inf, np.inf]])
    with pytest.raises(V4eggError, match="lack unit s1-u001"):
        recording(recorded={"s1-u000": always})
    for wrong in ([[1, 0]], [[2, 3], [0, 1]], [[0, 2], [1, 3]], [[0, 1], [1, 2]]):
        with pytest.raises(V4eggError, match="of unit s1-u000 are not ascending and disjoint"):
            recording(recorded=dict.fromkeys(UNITS, wrong))
    with pytest.raises(V4eggError, match="without NaN"):
        recording(recorded={unit: [[0, np.nan]] for unit in UNITS})
    with pytest.raises(V4eggError, match="mark what was not recorded with NaN"):
        recording(trials=None, spikes=None, counts=np.ones((2, 1, 3)), recorded=dict.fromkeys(UNITS, always))


def counted(counts, **changes):
    return recording(trials=None, spikes=None, counts=np.array(counts, "float32"), **changes)


def test_responses_that_are_no_counts_say_so(tmp_path):
    given = counted([[[0.5, -1.0, np.nan]], [[2.0, 0.0, 1.0]]], response_unit="normalized multi-unit activity")
    given.save(tmp_path / "s1.zarr")
    found = load_recording(tmp_path / "s1.zarr")
    assert found.response_unit == "normalized multi-unit activity"
    np.testing.assert_array_equal(found.counts, given.counts)
    assert counted([[[0, 1, 2]], [[0, 1, np.nan]]]).response_unit == "spikes per window"


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(V4eggError, match="1 counts are negative; mark what is missing with NaN, or set response_unit"):
        counted([[[0, 1, -1]], [[0, 1, 2]]])
    with pytest.raises(V4eggError, match="infinite responses"):
        counted([[[0, 1, np.inf]], [[0, 1, 2]]], response_unit="rate")
    with pytest.raises(V4eggError, match="spikes are counted, and their unit is not rate"):
        recording(response_unit="rate")
