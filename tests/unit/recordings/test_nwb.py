"""Reading NWB files: what differs between files of an archive, and each kind of bad input."""

import re
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from PIL import Image
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import ImageReferences, Images
from pynwb.epoch import TimeIntervals
from pynwb.image import GrayscaleImage, OpticalSeries, RGBImage

from v4egg.errors import V4eggError
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.recordings.recording import load_recording

GENERATOR = np.random.default_rng(0)
PIXELS = GENERATOR.integers(0, 255, (4, 6, 8, 3), np.uint8)  # four images, 6 px high and 8 wide
NAMES = ["d", "b", "a", "c"]


def write(
    path,
    *,
    stimuli=("a", "b", "c", "d", "a"),
    table="presentations",
    columns=("stimulus_id",),
    pixels=PIXELS,
    kind="images",
    spikes=((0.5, 0.1, 1.2), (), (2.0,)),
    locations=("V4", "V4", "V1"),
    ordered=True,
    containers=("stimuli",),
    stop=0.12,
):
    """A small NWB file; every argument is something that files differ in."""
    nwb = NWBFile("test", path.stem, datetime(2024, 1, 1, tzinfo=UTC))
    if spikes is not None:
        _add_units(nwb, spikes, locations)
    if kind == "images":
        for container in containers:
            _add_images(nwb, container, pixels, ordered)
    elif kind == "series":
        series = OpticalSeries(
            name="movie", data=pixels, rate=10.0, unit="n.a.", distance=0.5, field_of_view=[1.0, 1.0], orientation="up"
        )
        nwb.add_stimulus(series)
    if table is not None:
        intervals = TimeIntervals(name=table, description="what was shown")
        for column in columns:
            intervals.add_column(column, "what was shown")
        for i, stimulus in enumerate(stimuli):
            values = dict.fromkeys(columns, stimulus)
            intervals.add_row(start_time=i * 0.3, stop_time=i * 0.3 + stop, **values)
        if table == "trials":
            nwb.trials = intervals
        else:
            nwb.add_time_intervals(intervals)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def _add_units(nwb, spikes, locations):
    device = nwb.create_device("array")
    for location in sorted(set(locations)):
        nwb.create_electrode_group(location, "array", location, device)
    for location in locations:
        nwb.add_electrode(group=nwb.electrode_groups[location], location=location)
    nwb.add_unit_column("quality", "sorting quality")
    nwb.add_unit_column("snr", "signal to noise")
    for i, times in enumerate(spikes):
        nwb.add_unit(spike_times=np.array(times, float), electrodes=[i], quality=f"q{i}", snr=i / 2)


def _add_images(nwb, container, pixels, ordered):
    kind = RGBImage if np.ndim(pixels[0]) == 3 else GrayscaleImage
    pictures = [kind(name=name, data=data) for name, data in zip(NAMES, pixels, strict=True)]
    order = ImageReferences(name="order_of_images", data=pictures) if ordered else None
    nwb.add_stimulus_template(Images(name=container, images=pictures, order_of_images=order))


def test_the_default_columns(tmp_path):
    recording = read_nwb(write(tmp_path / "s.nwb"), "s1")
    assert recording.image_ids == NAMES
    np.testing.assert_array_equal(recording.images, PIXELS.transpose(0, 3, 1, 2))
    assert [recording.image_ids[i] for i in recording.trials["image"]] == ["a", "b", "c", "d", "a"]
    np.testing.assert_allclose(recording.trials["onset"], np.arange(5) * 0.3)
    np.testing.assert_allclose(recording.trials["offset"], np.arange(5) * 0.3 + 0.12)
    np.testing.assert_allclose(recording.spikes["s1-u000"], [0.1, 0.5, 1.2])
    assert recording.spikes["s1-u001"].size == 0
    assert list(recording.units["quality"]) == ["q0", "q1", "q2"]
    assert list(recording.units["location"]) == ["V4", "V4", "V1"]


def test_a_recording_read_can_be_stored(tmp_path):
    recording = read_nwb(write(tmp_path / "s.nwb"), "s1")
    recording.save(tmp_path / "s.zarr")
    again = load_recording(tmp_path / "s.zarr")
    np.testing.assert_array_equal(again.images, recording.images)
    np.testing.assert_array_equal(again.spikes["s1-u000"], recording.spikes["s1-u000"])
    assert list(again.units["snr"]) == [0.0, 0.5, 1.0]


def test_trials_serve_where_there_are_no_presentations(tmp_path):
    recording = read_nwb(write(tmp_path / "s.nwb", table="trials"), "s1")
    assert len(recording.trials) == 5


def test_other_names_of_table_and_column(tmp_path):
    path = write(tmp_path / "s.nwb", table="flashes", columns=("other", "picture"))
    recording = read_nwb(path, "s1", columns={"table": "flashes", "stimulus": "picture"})
    assert len(recording.trials) == 5


def test_images_without_an_order_are_sorted_by_name(tmp_path):
    recording = read_nwb(write(tmp_path / "s.nwb", ordered=False), "s1")
    assert recording.image_ids == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(recording.images[0], PIXELS[2].transpose(2, 0, 1))


def test_one_of_several_containers(tmp_path):
    path = write(tmp_path / "s.nwb", containers=("masks", "scenes"))
    assert read_nwb(path, "s1", columns={"images": "scenes"}).image_ids == NAMES
    with pytest.raises(
        V4eggError, match=r"2 containers of images; set columns.images to one of: \S+/masks, \S+/scenes"
    ):
        read_nwb(path, "s1")


@pytest.mark.parametrize("stimuli", [(2, 0, 2, 3), (2.0, 0.0, 2.0, 3.0)])
def test_frames_of_a_series_by_number(tmp_path, stimuli):
    recording = read_nwb(write(tmp_path / "s.nwb", kind="series", stimuli=stimuli), "s1")
    assert list(recording.trials["image"]) == [1, 0, 1, 2]  # frame 1 is never shown
    np.testing.assert_array_equal(recording.images, PIXELS[[0, 2, 3]].transpose(0, 3, 1, 2))


def test_grey_images_have_one_channel(tmp_path):
    path = write(tmp_path / "s.nwb", pixels=PIXELS[..., 0])
    np.testing.assert_array_equal(read_nwb(path, "s1").images, PIXELS[:, None, :, :, 0])


def test_float_images_of_range_one_become_bytes(tmp_path):
    path = write(tmp_path / "s.nwb", pixels=PIXELS / 255)
    np.testing.assert_array_equal(read_nwb(path, "s1").images, PIXELS.transpose(0, 3, 1, 2))


def test_a_folder_of_image_files_beside_the_file(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name, data in zip(NAMES, PIXELS, strict=True):
        Image.fromarray(data).save(tmp_path / "pictures" / f"{name}.png")
    (tmp_path / "pictures" / "readme.txt").write_text("not an image")
    path = write(tmp_path / "s.nwb", kind=None, stimuli=("a", "folder/b.png", "d.png"))
    recording = read_nwb(path, "s1", columns={"images": "pictures"})
    assert recording.image_ids == ["a.png", "b.png", "d.png"]
    np.testing.assert_array_equal(recording.images[2], PIXELS[0].transpose(2, 0, 1))


def test_an_unreadable_image_file_is_named(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG cut off")
    path = write(tmp_path / "s.nwb", kind=None, stimuli=("a",))
    with pytest.raises(V4eggError, match=r"a\.png: not a readable image"):
        read_nwb(path, "s1", columns={"images": "pictures"})


@pytest.mark.parametrize(
    ("stimuli", "kept"), [(("a", "", "b", "nan"), 2), ((0.0, np.nan, 1.0, -1.0), 2), ((0, -1, 1, 2), 3)]
)
def test_blanks_are_left_out(tmp_path, stimuli, kept):
    recording = read_nwb(write(tmp_path / "s.nwb", stimuli=stimuli), "s1")
    assert len(recording.trials) == kept
    assert len(recording.images) == kept


@pytest.mark.parametrize(
    ("unit_filter", "kept"),
    [({"location": "V4"}, [0, 1]), ({"quality": ["q0", "q2"]}, [0, 2]), ({"location": "V4", "snr": 0.0}, [0])],
)
def test_unit_filter_keeps_rows_and_their_ids(tmp_path, unit_filter, kept):
    recording = read_nwb(write(tmp_path / "s.nwb"), "s1", columns={"unit_filter": unit_filter})
    assert list(recording.units.index) == [f"s1-u{i:03d}" for i in kept]
    assert list(recording.spikes) == list(recording.units.index)


def line(path, columns=None):
    """The one line that the reader gives about this file."""
    with pytest.raises(V4eggError) as caught:
        read_nwb(path, "s1", columns=columns)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("changes", "columns", "words"),
    [
        ({"spikes": None}, None, "/units is absent or empty"),
        ({"spikes": ((), (), ())}, None, "no unit has spikes"),
        ({}, {"unit_filter": {"quality": "q1"}}, "no unit that unit_filter keeps has spikes"),
        ({}, {"unit_filter": {"area": "V4"}}, "units and electrodes have quality, snr, location"),
        ({}, {"unit_filter": {"location": "IT"}}, "no unit with location = IT; present are V1, V4"),
        (
            {},
            {"table": "flashes"},
            "columns.table names flashes, which is not there; tables are /intervals/presentations",
        ),
        ({"table": None}, None, "no table of presentations; tables are none; name one in columns.table"),
        ({"columns": ("picture",)}, None, "no column stimulus_id; set columns.stimulus to one of: picture"),
        ({}, {"start": "onset"}, "no column onset; set columns.start to one of: start_time, stop_time"),
        ({"stimuli": ("a", "x", "y", "z", "w")}, None, "4 values of stimulus_id have no image .* such as w, x, y;"),
        ({"stimuli": (0, 7)}, None, "1 values of stimulus_id have no image .* such as 7;"),
        ({"stimuli": ("", "nan")}, None, "stimulus_id names no image"),
        ({"kind": None}, None, "contains no images; put them into a folder beside it; set columns.images"),
        ({}, {"images": "pictures"}, "columns.images names pictures, .* images are in /stimulus/templates/stimuli"),
        ({"pixels": [*PIXELS[:3], PIXELS[3, :5]]}, None, "images are of several sizes, such as 8 x 6 and 8 x 5 px"),
        ({"pixels": PIXELS.astype("uint16") * 10}, None, "set pixel_range"),
        ({"pixels": PIXELS / 255 - 0.5}, None, "set pixel_range"),
        ({"stop": -0.1}, None, "5 presentations whose stop is not after the start, such as 0 to -0.1 s"),
        ({}, {"stimuli": "a"}, "unknown keys in columns: stimuli; give only table, start"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, changes, columns, words):
    message = line(write(tmp_path / "s.nwb", **changes), columns)
    assert re.search(words, message), message


def test_a_missing_file(tmp_path):
    assert "no such file" in line(tmp_path / "s.nwb")


def test_a_file_of_another_format(tmp_path):
    (tmp_path / "s.nwb").write_text("time,unit\n")
    assert "not an HDF5 file" in line(tmp_path / "s.nwb")


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_file(tmp_path, kept):
    path = write(tmp_path / "s.nwb")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert "not a readable NWB file" in line(path)


def test_an_hdf5_file_that_is_not_nwb(tmp_path):
    with h5py.File(tmp_path / "s.nwb", "w") as file:
        file["x"] = [1, 2]
    assert "not a readable NWB file" in line(tmp_path / "s.nwb")
