"""`v4egg check`: a line for each session and each mistake, exit code 1 if there is any, and nothing is written."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import ImageReferences, Images
from pynwb.epoch import TimeIntervals
from pynwb.image import GrayscaleImage

from v4egg.workflow.command_line import main

IMAGES, UNITS, REPEATS, TEST, TEST_REPEATS = 20, 3, 2, 4, 8
PRESENTATIONS = (IMAGES - TEST) * REPEATS + TEST * TEST_REPEATS


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """20 images shown twice, the last four of them 8 times; two units that follow the images and a silent one."""
    generator = np.random.default_rng(0)
    shown = np.repeat(np.arange(IMAGES), np.where(np.arange(IMAGES) < IMAGES - TEST, REPEATS, TEST_REPEATS))
    generator.shuffle(shown)
    onsets = 1 + 0.3 * np.arange(len(shown))
    nwb = NWBFile("small", "small", datetime(2024, 1, 1, tzinfo=UTC))
    rates = generator.gamma(2, 20, (UNITS, IMAGES)) * np.array([[1], [1], [0]])
    for unit in range(UNITS):
        counts = generator.poisson(rates[unit, shown])
        times = np.repeat(onsets, counts) + generator.uniform(0.07, 0.17, counts.sum())
        nwb.add_unit(spike_times=np.sort(times))
    table = TimeIntervals(name="presentations", description="what was shown")
    table.add_column("stimulus_id", "the image")
    for image, onset in zip(shown, onsets, strict=True):
        table.add_row(start_time=onset, stop_time=onset + 0.2, stimulus_id=f"p{image:02d}")
    nwb.add_time_intervals(table)
    pixels = generator.integers(0, 255, (IMAGES, 24, 24), dtype=np.uint8)
    pictures = [GrayscaleImage(name=f"p{i:02d}", data=pixels[i]) for i in range(IMAGES)]
    order = ImageReferences(name="order_of_images", data=pictures)
    nwb.add_stimulus_template(Images(name="images", images=pictures, order_of_images=order))
    path = tmp_path_factory.mktemp("recording") / "small.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def configuration(folder, **sessions):
    path = folder / "mine.yaml"
    path.write_text(json.dumps({"name": "mine", "sessions": sessions}))
    return str(path)


def session(path, **more):
    own = {"format": "nwb", "file": str(path), "split": "repeated", "min_repeats": TEST_REPEATS}
    return {**own, "columns": {"axes": "yx"}, **more}


def test_a_session_is_a_line(recording, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", configuration(tmp_path, one=session(recording))]) == 0
    found = capsys.readouterr()
    assert found.out == (
        f"one: 20 grey images of 24 x 24 px, 3 units, {PRESENTATIONS} presentations (2 to 8 of each image); "
        "16 images to fit, 4 to test\n"
    )
    assert found.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"], "nothing is written"


def test_all_pixels_and_spikes_say_how_many_units_pass(recording, tmp_path, capsys):
    assert main(["check", "--full", configuration(tmp_path, one=session(recording))]) == 0
    assert "2 of 3 units pass the selection" in capsys.readouterr().out


def test_mistakes_of_all_sessions_are_collected(recording, tmp_path, capsys):
    broken = tmp_path / "broken.nwb"
    broken.write_bytes(b"no HDF5")
    sessions = {
        "absent": session(tmp_path / "absent.nwb"),
        "broken": session(broken),
        "good": session(recording),
        "wrong_column": session(recording, columns={"stimulus": "picture"}),
        "too_many_repeats": session(recording, min_repeats=9),
    }
    assert main(["check", configuration(tmp_path, **sessions)]) == 1
    found = capsys.readouterr()
    assert [line.split(":")[0] for line in found.out.splitlines()] == ["good"]
    lines = found.err.splitlines()
    assert len(lines) == 4
    assert "sessions.absent.file: there is no" in lines[0]
    assert lines[1].startswith(f"error: sessions.broken: {broken}: not an HDF5 file")
    assert lines[2].startswith("error: sessions.wrong_column:")
    assert "picture" in lines[2]
    assert "split repeated finds no image shown min_repeats = 9 times (at most 8)" in lines[3]


def test_mistakes_of_the_configuration_are_a_line_each(recording, tmp_path, capsys):
    path = configuration(tmp_path, one=session(recording, splitt="halves"), two=session(recording, split="half"))
    assert main(["check", path]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "'sessions.one.splitt' is unknown; did you mean 'split'?" in lines[0]
    assert "'sessions.two.split' is 'half'" in lines[1]


def test_what_the_workflow_makes_is_not_read(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("V4EGG_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    simulated = {"format": "simulated", "split": "halves"}
    published = {"format": "cowley", "split": "halves"}
    assert main(["check", configuration(tmp_path, sim=simulated, s190923=published)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sim: the workflow simulates it"
    assert lines[1].startswith("s190923: the workflow downloads ")


def test_overlays_are_checked_together(recording, tmp_path, capsys):
    first = configuration(tmp_path, one=session(recording))
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("sessions: {one: {min_repeats: 9}}\n")
    assert main(["check", first, str(overlay)]) == 1
    assert "min_repeats = 9" in capsys.readouterr().err
