"""A recording as it was understood: its numbers have known values, and every kind of session is drawn."""

import numpy as np
import pandas as pd
import pytest

from v4egg.figures import recording as figure
from v4egg.recordings.recording import Recording, load_recording
from v4egg.recordings.responses import make_responses
from v4egg.recordings.spike_quality import spike_quality

WINDOW = (0.07, 0.17)
ONSET = 1.0 + 0.5 * np.arange(60)
IMAGE = np.tile(np.arange(10), 6)


def responding(latency, unit):
    """Spikes 20 ms apart from the latency on, more of them for later images, and one at 20 ms before the onset."""
    bursts = [t + latency + 0.02 * np.arange(1 + (i + unit) % 4) for t, i in zip(ONSET, IMAGE, strict=True)]
    return np.sort(np.concatenate([*bursts, ONSET - 0.02]))


def session(units=3, channels=3, **more):
    ids = [f"s1-u{i:03d}" for i in range(units)]
    trials = pd.DataFrame({"image": IMAGE, "onset": ONSET, "offset": ONSET + 0.2})
    images = np.random.default_rng(0).integers(0, 256, (10, channels, 8, 8), dtype=np.uint8)
    spikes = {unit: responding(0.08, i) for i, unit in enumerate(ids)}
    names = [f"a folder/a long name of a picture {i}" for i in range(10)]
    return Recording("s1", images, pd.DataFrame(index=ids), names, trials, spikes, **more)


def counted(units):
    images = np.zeros((10, 1, 8, 8), "uint8")
    counts = np.random.default_rng(0).poisson(3, (10, 1, units)).astype("float32")
    return Recording(
        "s1", images, pd.DataFrame(index=[f"s1-u{i:03d}" for i in range(units)]), list("abcdefghij"), counts=counts
    )


def saved(recording, folder):
    recording.save(folder / "recording.zarr")
    split = np.array(["train"] * 7 + ["test"] * 3)
    make_responses(load_recording(folder / "recording.zarr"), split, window=WINDOW).save(folder / "responses.zarr")
    return folder / "recording.zarr", folder / "responses.zarr"


def values(numbers, measure):
    return numbers[numbers["measure"] == measure].set_index("index")["value"].to_dict()


def test_numbers_of_a_session_are_those_that_it_was_made_of(tmp_path):
    notes = {"left_out": {"stimulus is blank": 4}, "warnings": ["images are read as (y, x)"]}
    numbers = figure.table(*saved(session(**notes), tmp_path), WINDOW)
    assert values(numbers, "repeats") == {6: 10.0}
    assert values(numbers, "left_out") == {"stimulus is blank": 4.0}
    assert "images are read as (y, x)" in values(numbers, "warning")
    latency = numbers[numbers["measure"] == "latency"]
    assert latency["value"].tolist() == pytest.approx([0.08] * 3)
    rate = numbers[(numbers["measure"] == "rate") & (numbers["unit"] == "s1-u000")]["value"].item()
    assert rate == pytest.approx(np.mean([1 + i % 4 for i in IMAGE]) / 0.4)


def test_what_was_not_recorded_does_not_count():
    recorded = {"s1-u000": np.array([[0.0, 16.0]]), "s1-u001": np.empty((0, 2)), "s1-u002": np.array([[0.0, 99.0]])}
    recording = session(recorded=recorded)
    half, never = (spike_quality(recording, unit) for unit in ("s1-u000", "s1-u001"))
    assert np.isfinite(half.drift[:5]).all()
    assert np.isnan(half.drift[5:]).all()
    assert np.isnan([never.rate, never.latency, *never.psth]).all()


def test_a_silent_unit_and_a_steady_one_have_no_latency():
    recording = session(2)
    steady = np.arange(0.5, 40, 0.0101)
    recording.spikes = {"s1-u000": np.empty(0), "s1-u001": steady}
    silent, firing = (spike_quality(recording, unit) for unit in recording.units.index)
    assert silent.rate == 0
    assert np.isnan(silent.refractory_violations)
    assert np.isnan([silent.latency, firing.latency]).all()
    assert firing.rate == pytest.approx(1 / 0.0101, rel=0.02)


def test_short_intervals_between_spikes_are_counted():
    recording = session(1)
    recording.spikes = {"s1-u000": np.sort(np.concatenate([ONSET + 0.1, ONSET + 0.101]))}
    assert spike_quality(recording, "s1-u000").refractory_violations == pytest.approx(60 / 119)


@pytest.mark.parametrize("recording", [session(), session(1, 1), session(300), counted(1), counted(300)])
def test_sessions_of_every_kind_are_drawn(recording, tmp_path):
    path, responses = saved(recording, tmp_path)
    drawn = figure.draw(figure.table(path, responses, WINDOW), path, WINDOW)
    drawn.draw_without_rendering()
    assert len(drawn.axes) > 10


def test_names_are_cut_where_they_differ():
    assert [figure._short(name) for name in ("img_0.png", "a/scene_001.JPG", "fit_00012", "s1")] == [
        "img_0",
        "…e_001",
        "…00012",
        "s1",
    ]
