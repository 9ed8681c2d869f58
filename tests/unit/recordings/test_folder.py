"""The reader of a plain folder: the same session in every form, right to the pixel and to the spike, or refused."""

import json
import zipfile

import fastparquet
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.recordings.outline import outline_of
from v4egg.recordings.readers import describe, outline_recording, read_recording
from v4egg.recordings.readers.folder import FolderFiles, read_folder
from v4egg.recordings.recording import load_recording
from v4egg.recordings.repeats import by_image, check_padding
from v4egg.recordings.responses import count_spikes
from v4egg.seeding import numpy_generator

PICTURES, UNITS, REPEATS, SIDE = 12, 4, 3, 8
WINDOW = (0.07, 0.17)
UNIT_NAMES = [f"ch{3 * u}" for u in range(UNITS)]  # ch0, ch3, ch6, ch9


def picture(number):
    return numpy_generator("folder", number).integers(0, 256, (SIDE, SIDE), dtype="uint8")


def count(number, unit):
    return (number * (unit + 1)) % 7 + 1


class Session:
    """A session under construction: picture k is shown REPEATS times, and unit u fires ``count(k, u)`` times."""

    def __init__(self, folder):
        self.folder = folder
        self.order = np.repeat(np.arange(PICTURES), REPEATS)
        numpy_generator("order").shuffle(self.order)
        self.onset = 1.05 + 0.3 * np.arange(len(self.order))
        self.spikes = {
            name: np.concatenate(
                [t + 0.081 + 0.01 * np.arange(count(k, u)) for k, t in zip(self.order, self.onset, strict=True)]
            )
            for u, name in enumerate(UNIT_NAMES)
        }

    def images(self, form="im_{}.png", place="images"):
        for number in range(PICTURES):
            path = self.folder / place / form.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(number)).save(path)
        return self

    def presentations(self, form="im_{}.png", **columns):
        names = [form.format(k) for k in self.order]
        times = {"onset": self.onset.round(4), "offset": (self.onset + 0.2).round(4), "stimulus": names}
        self.table = pd.DataFrame(times | columns)
        self.table.to_csv(self.folder / "presentations.csv", index=False)
        return self

    def spike_table(self):
        parts = [pd.DataFrame({"unit": name, "time": times}) for name, times in self.spikes.items()]
        return pd.concat(parts).sort_values("time", kind="stable", ignore_index=True)

    def in_table(self):
        self.spike_table().to_csv(self.folder / "spikes.csv", index=False)
        return self

    def counts(self):
        """(presentation, unit)."""
        return np.array([[count(k, u) for u in range(UNITS)] for k in self.order])

    def expected(self):
        """(image, repeat, unit)."""
        return by_image(self.counts(), self.order, PICTURES)


@pytest.fixture
def session(tmp_path):
    return Session(tmp_path)


def check(session, recording, names="im_{}.png", counts=None):
    expected = session.expected() if counts is None else counts
    assert recording.image_ids == [names.format(k) for k in range(len(expected))]
    np.testing.assert_array_equal(recording.images, [picture(k)[None] for k in range(len(expected))])
    found = count_spikes(recording, WINDOW) if recording.counts is None else recording.counts
    np.testing.assert_array_equal(found, expected)


def refusal(session, **options):
    with pytest.raises(V4eggError) as caught:
        read_folder(session.folder, "s1", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_plain_form(session, tmp_path):
    session.images().presentations().in_table()
    recording = read_recording("s1", {"format": "folder", "folder": str(session.folder)}, str(session.folder))
    check(session, recording)
    assert list(recording.units.index) == [f"s1-u{u:03d}" for u in range(UNITS)]
    assert recording.units["unit_name"].tolist() == UNIT_NAMES
    np.testing.assert_array_equal(recording.trials["offset"], (session.onset + 0.2).round(4))
    assert (recording.left_out, recording.warnings, recording.recorded) == ({}, [], None)
    recording.save(tmp_path / "s1.zarr")
    check(session, load_recording(tmp_path / "s1.zarr"))


# --- forms of spikes --------------------------------------------------------------------------------------------------


def write_parquet(session):
    fastparquet.write(str(session.folder / "spikes.parquet"), session.spike_table())


def write_semicolons(session):
    table = session.spike_table()
    table["time"] = [f"{time:.4f}".replace(".", ",") for time in table["time"]]
    table.to_csv(session.folder / "spikes.csv", sep=";", index=False, encoding="utf-8-sig")


def write_tabs(session):
    session.spike_table().to_csv(session.folder / "spikes.tsv", sep="\t", index=False)


def write_archive_of_units(session):
    np.savez(session.folder / "spikes.npz", **session.spikes)


def write_archive_of_pairs(session):
    table = session.spike_table()
    np.savez(session.folder / "spikes.npz", time=table["time"], unit=table["unit"].to_numpy("U8"))


def write_folder_of_units(session):
    (session.folder / "spikes").mkdir()
    for name, times in session.spikes.items():
        np.save(session.folder / "spikes" / f"{name}.npy", times[::-1])


@pytest.mark.parametrize(
    "write",
    [
        write_parquet,
        write_semicolons,
        write_tabs,
        write_archive_of_units,
        write_archive_of_pairs,
        write_folder_of_units,
    ],
)
def test_forms_of_spikes(session, write):
    session.images().presentations()
    write(session)
    recording = read_folder(session.folder, "s1")
    check(session, recording)
    assert recording.units["unit_name"].tolist() == UNIT_NAMES


def test_arrays_of_a_sorter_with_its_table_of_units(session):
    session.images().presentations()
    table = session.spike_table()
    clusters = table["unit"].str.removeprefix("ch").astype("int32").to_numpy()
    np.save(session.folder / "spike_times.npy", np.rint(table["time"].to_numpy() * 30000).astype("uint64")[:, None])
    np.save(session.folder / "spike_clusters.npy", clusters)
    info = pd.DataFrame({"cluster_id": [9, 0, 3, 6, 12], "group": ["mua", "good", "good", "good", "good"]})
    info.to_csv(session.folder / "cluster_info.tsv", sep="\t", index=False)
    columns = {"units": "cluster_info.tsv", "unit": "cluster_id", "unit_filter": {"group": "good"}}
    told = refusal(session, columns=columns)
    assert "all spike times are whole numbers; set columns.sampling_rate" in told
    recording = read_folder(session.folder, "s1", columns=columns | {"sampling_rate": 30000.0})
    assert list(recording.units.index) == ["s1-u001", "s1-u002", "s1-u003", "s1-u004"]
    assert recording.units["group"].tolist() == ["good"] * 4
    np.testing.assert_array_equal(count_spikes(recording, WINDOW)[..., :3], session.expected()[..., :3])
    assert len(recording.spikes["s1-u004"]) == 0


def test_a_folder_of_a_sorter_is_no_folder_of_units(session):
    session.images().presentations()
    (session.folder / "spikes").mkdir()
    for name in ("spike_times", "spike_clusters", "amplitudes"):
        np.save(session.folder / "spikes" / f"{name}.npy", np.arange(20) / 7)
    assert "set columns.spikes to spikes/spike_times.npy" in refusal(session)


def test_times_in_milliseconds(session):
    session.images().presentations().in_table()
    table = session.spike_table()
    table.assign(time=table["time"] * 1000).to_csv(session.folder / "spikes.csv", index=False)
    assert "spike times look like milliseconds" in refusal(session)
    table.assign(time=(table["time"] * 1000).round().astype(int)).to_csv(session.folder / "spikes.csv", index=False)
    assert "set columns.sampling_rate" in refusal(session)
    check(session, read_folder(session.folder, "s1", columns={"sampling_rate": 1000.0}))


def test_spikes_that_cannot_be_told(session):
    session.images().presentations()
    assert "neither spikes (spikes.csv" in refusal(session)
    np.savez(session.folder / "spikes.npz", a=np.arange(20) / 7, b=np.arange(20))
    assert "a and b are as long as each other" in refusal(session)
    np.save(session.folder / "spikes.npy", np.zeros(3))
    ragged = np.array([np.zeros(2), np.zeros(3)], dtype=object)
    np.savez(session.folder / "spikes.npz", spikes=ragged)
    assert "save an array of times per unit" in refusal(session)
    np.savez(session.folder / "spikes.npz", u0=np.zeros((3, 2)))
    assert "u0 is an array of float64 with shape (3, 2)" in refusal(session)
    (session.folder / "spikes.npz").unlink()
    np.save(session.folder / "spike_times.npy", np.zeros(3))
    assert "name the array of the unit of each spike" in refusal(session)
    np.save(session.folder / "spike_units.npy", np.zeros(2, int))
    assert "3 times, and the units of 2" in refusal(session)
    session.in_table()
    assert "set columns.spikes to one of: spikes.csv, spike_times.npy" in refusal(session)
    check(session, read_folder(session.folder, "s1", columns={"spikes": "spikes.csv"}))
    pd.DataFrame({"unit": ["a", ""], "time": [1.5, 2.5]}).to_csv(session.folder / "spikes.csv", index=False)
    assert "unit is empty in some rows" in refusal(session, columns={"spikes": "spikes.csv"})


# --- images and stimuli -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["im_{}", "{}", "C:\\stimuli\\im_{}.png", "im_{}.png"])
def test_how_stimuli_name_images(session, ids):
    session.images().presentations(ids).in_table()
    check(session, read_folder(session.folder, "s1"))


def test_images_in_subfolders_and_in_a_zip_file(session):
    session.images(place="pictures/day1").presentations().in_table()
    check(session, read_folder(session.folder, "s1"), names="day1/im_{}.png")
    with zipfile.ZipFile(session.folder / "images.zip", "w") as archive:
        for number in range(PICTURES):
            archive.write(session.folder / f"pictures/day1/im_{number}.png", f"set/im_{number}.png")
    check(session, read_folder(session.folder, "s1"), names="set/im_{}.png")
    assert FolderFiles("s1", {"folder": str(session.folder)}).files()[-1] == str(session.folder / "images.zip")


def test_two_folders_of_images_are_asked_for(session):
    session.images(place="a").images(place="b").presentations().in_table()
    assert "set columns.images to one of: a, b" in refusal(session)
    check(session, read_folder(session.folder, "s1", columns={"images": "b"}))


def test_sixteen_bits_and_a_declared_range(session):
    session.images().presentations().in_table()
    for number in range(PICTURES):
        Image.fromarray(picture(number).astype("uint16") * 16).save(session.folder / f"images/im_{number}.png")
    assert "set pixel_range to [black, white]" in refusal(session)
    check(session, read_folder(session.folder, "s1", columns={"pixel_range": [0.0, 4080.0]}))


def test_images_of_several_sizes(session):
    session.images().presentations().in_table()
    big = np.kron(picture(5), np.ones((2, 2), "uint8"))
    Image.fromarray(big).save(session.folder / "images/im_5.png")
    assert "8 x 8 and 16 x 16 px (width x height); make them equal, or set columns.image_size" in refusal(session)
    recording = read_folder(session.folder, "s1", columns={"image_size": 8})
    np.testing.assert_array_equal(
        recording.images[5, 0], Image.fromarray(big).resize((8, 8), Image.Resampling.BILINEAR)
    )
    np.testing.assert_array_equal(recording.images[4, 0], picture(4))


def test_stimuli_without_an_image(session):
    session.images().presentations().in_table()
    (session.folder / "images/im_3.png").unlink()
    told = refusal(session)
    assert "1 stimuli have no image among 11, such as im_3.png; set columns.stimulus or columns.images" in told


# --- which presentations ----------------------------------------------------------------------------------------------


def test_blanks_and_filters_are_counted(session):
    outcome = np.where(np.arange(len(session.order)) % 9 == 4, "aborted", "correct")
    session.images().presentations(outcome=outcome, block=np.arange(len(session.order)) // 12).in_table()
    table = session.table
    table.loc[[0, 7], "stimulus"] = ["blank", ""]
    table.to_csv(session.folder / "presentations.csv", index=False)
    assert "presentations.csv have outcome = aborted; set columns.presentations_filter" in refusal(session)
    recording = read_folder(
        session.folder, "s1", columns={"presentations_filter": {"outcome": "correct", "block": [0, 1]}}
    )
    kept = (outcome == "correct") & (np.arange(len(table)) < 24) & ~np.isin(np.arange(len(table)), [0, 7])
    np.testing.assert_array_equal(recording.trials["onset"], session.onset[kept].round(4))
    assert recording.left_out == {"outcome is aborted": 4, "block is 2": 11, "stimulus is blank": 2}
    assert "no column reward; columns are onset" in refusal(session, columns={"presentations_filter": {"reward": 1}})


def test_names_of_files_and_columns_are_keys(session):
    session.images().presentations().in_table()
    names = {"onset": "t0", "offset": "t1", "stimulus": "picture"}
    session.table.rename(columns=names).to_csv(session.folder / "log.csv", index=False, sep=";")
    (session.folder / "presentations.csv").unlink()
    session.spike_table().rename(columns={"unit": "cell", "time": "s"}).to_csv(session.folder / "sua.csv", index=False)
    (session.folder / "spikes.csv").unlink()
    columns = {"table": "log.csv", "start": "t0", "stop": "t1", "stimulus": "picture", "spikes": "sua.csv"}
    columns |= {"unit": "cell", "time": "s"}
    check(session, read_folder(session.folder, "s1", columns=columns))
    assert "no column onset; columns are t0, t1, picture; set columns.start" in refusal(
        session, columns=columns | {"start": "onset"}
    )
    assert "option 'strat' is unknown; did you mean 'start'" in refusal(session, columns={"strat": "t0"})
    assert "columns.table names nothing.csv, which is not there" in refusal(
        session, columns=columns | {"table": "nothing.csv"}
    )


def test_a_missing_offset_is_no_fault(session):
    session.images().presentations().in_table()
    session.table.drop(columns="offset").to_csv(session.folder / "presentations.csv", index=False)
    recording = read_folder(session.folder, "s1")
    check(session, recording)
    assert recording.trials["offset"].isna().all()


def test_rows_out_of_order_and_rows_that_repeat(session):
    session.images().presentations().in_table()
    table = pd.concat([session.table.iloc[::-1], session.table.iloc[:2]])
    table.to_csv(session.folder / "presentations.csv", index=False)
    recording = read_folder(session.folder, "s1")
    check(session, recording)
    assert recording.left_out == {"the row repeats another": 2}


# --- what was recorded ------------------------------------------------------------------------------------------------


def test_intervals_of_units(session):
    session.images().presentations().in_table()
    end = session.onset[20] + 0.15
    table = pd.DataFrame({"unit": UNIT_NAMES, "start": 0.0, "stop": [99, end, 99, 99]})
    table.to_csv(session.folder / "recorded.csv", index=False)
    expected = session.counts().astype(float)
    expected[20:, 1] = np.nan
    check(session, read_folder(session.folder, "s1"), counts=by_image(expected, session.order, PICTURES))
    table.iloc[:3].to_csv(session.folder / "recorded.csv", index=False)
    assert "1 units, such as ch9, have no interval" in refusal(session)


def test_a_recording_that_ends_before_the_presentations(session):
    session.images().presentations()
    session.spikes = {name: times[times < session.onset[30]] for name, times in session.spikes.items()}
    session.in_table()
    recording = read_folder(session.folder, "s1")
    counts = session.counts().astype(float)
    found = count_spikes(recording, WINDOW)
    late = by_image(np.where(np.arange(len(counts))[:, None] > 31, np.nan, counts), session.order, PICTURES)
    assert np.isnan(found[np.isnan(late)]).all()
    np.testing.assert_array_equal(
        found[np.isfinite(late) & np.isfinite(found)], late[np.isfinite(late) & np.isfinite(found)]
    )
    assert "presentations lie outside of the spikes of all units" in recording.warnings[-1]


# --- counts -----------------------------------------------------------------------------------------------------------


def counts_table(session):
    pd.DataFrame(session.counts(), columns=UNIT_NAMES).to_csv(session.folder / "counts.csv", index=False)


def counts_parquet(session):
    fastparquet.write(str(session.folder / "counts.parquet"), pd.DataFrame(session.counts(), columns=UNIT_NAMES))


def counts_with_index(session):
    pd.DataFrame(session.counts(), columns=UNIT_NAMES).to_csv(session.folder / "counts.csv")


def counts_array(session):
    np.save(session.folder / "counts.npy", session.counts().astype("int16"))


@pytest.mark.parametrize("write", [counts_table, counts_parquet, counts_with_index, counts_array])
@pytest.mark.parametrize("timed", [True, False])
def test_counts_of_presentations(session, write, timed):
    session.images().presentations()
    columns = ["onset", "stimulus"] if timed else ["stimulus"]
    session.table[columns].to_csv(session.folder / "presentations.csv", index=False)
    write(session)
    recording = read_folder(session.folder, "s1")
    check(session, recording)
    names = UNIT_NAMES if write != counts_array else [str(u) for u in range(UNITS)]
    assert recording.units["unit_name"].tolist() == names
    assert recording.response_unit == "spikes per window"


def test_counts_follow_filters_and_the_order_of_onsets(session):
    session.images().presentations(block=np.arange(len(session.order)) // 18)
    shuffled = numpy_generator("rows").permutation(len(session.order))
    session.table.iloc[shuffled].to_csv(session.folder / "presentations.csv", index=False)
    values = session.counts().astype(float)
    values[:, 2] = numpy_generator("values").normal(size=len(values))
    pd.DataFrame(values[shuffled], columns=UNIT_NAMES).to_csv(session.folder / "counts.csv", index=False)
    columns = {"presentations_filter": {"block": 0}, "unit_filter": {"unit": ["ch0", "ch6"]}}
    recording = read_folder(session.folder, "s1", columns=columns, response_unit="dF/F")
    shown, image = np.unique(session.order[:18], return_inverse=True)
    np.testing.assert_array_equal(recording.counts, by_image(values[:18, [0, 2]], image, len(shown)))
    assert list(recording.units.index) == ["s1-u000", "s1-u002"]
    assert "counts are negative; mark what is missing with NaN, or set response_unit" in refusal(
        session, columns=columns
    )


def test_counts_of_images(session):
    session.images("im_{:02d}.png")
    counts = session.expected().transpose(2, 0, 1)
    np.save(session.folder / "counts.npy", counts)
    recording = read_folder(session.folder, "s1")
    np.testing.assert_array_equal(recording.counts, session.expected())
    np.testing.assert_array_equal(recording.images, [picture(k)[None] for k in range(PICTURES)])
    np.save(session.folder / "counts.npy", counts.mean(axis=2))
    means = read_folder(session.folder, "s1", repeats=REPEATS)
    assert (means.counts.shape, means.repeats_averaged) == ((PICTURES, 1, UNITS), REPEATS)
    np.save(session.folder / "counts.npy", counts.transpose(1, 0, 2))
    assert "expected (unit, image, repeat) with 12 images; turn its axes" in refusal(session)


def test_the_order_of_images_of_an_array_is_known_or_asked_for(session):
    session.images()
    text_order = sorted(range(PICTURES), key=lambda k: f"im_{k}.png")
    np.save(session.folder / "counts.npy", session.expected()[text_order].transpose(2, 0, 1))
    assert "as text (im_0.png, im_1.png, im_10.png) differ" in refusal(session)
    pd.DataFrame({"image": [f"im_{k}.png" for k in text_order]}).to_csv(session.folder / "images.csv", index=False)
    recording = read_folder(session.folder, "s1")
    assert recording.image_ids == [f"im_{k}.png" for k in text_order]
    np.testing.assert_array_equal(recording.images, [picture(k)[None] for k in text_order])
    np.testing.assert_array_equal(recording.counts, session.expected()[text_order])


def test_counts_that_do_not_fit_are_refused(session):
    session.images().presentations()
    table = pd.DataFrame(session.counts(), columns=UNIT_NAMES)
    table.iloc[:-1].to_csv(session.folder / "counts.csv", index=False)
    assert "35 rows for 36 presentations" in refusal(session)
    table.assign(presentation=np.arange(1, 37)).to_csv(session.folder / "counts.csv", index=False)
    assert "column presentation numbers the rows and is no unit" in refusal(session)
    table.assign(note="x").to_csv(session.folder / "counts.csv", index=False)
    assert "note is 'x' in row 1" in refusal(session)
    table.to_csv(session.folder / "counts.csv", index=False)
    pd.DataFrame({"unit": UNIT_NAMES[:3]}).to_csv(session.folder / "units.csv", index=False)
    assert "its columns are not the units of the table of units, such as ch9" in refusal(session)
    (session.folder / "counts.csv").unlink()
    np.save(session.folder / "counts.npy", session.counts().T)
    assert "an array of shape (4, 36), expected (36 presentations, 3)" in refusal(session)
    session.in_table()
    assert "there are spikes.csv and counts.npy" in refusal(session)


def test_zeros_that_stand_for_missing_repeats(session):
    session.images("im_{:02d}.png")
    counts = session.expected().transpose(2, 0, 1)
    counts[:, 5:, 2] = 0
    np.save(session.folder / "counts.npy", counts)
    told = refusal(session)
    assert (
        "7 repeats are 0 in all 4 units, at the end of 7 images, such as im_05.png from repeat 3 on; write NaN" in told
    )
    counts[:, 5:, 2] = np.nan
    np.save(session.folder / "counts.npy", counts)
    np.testing.assert_array_equal(read_folder(session.folder, "s1").counts, counts.transpose(1, 2, 0))


def test_few_silent_repeats_may_be_chance():
    counts = np.full((20, 3, 2), 0.4)
    counts[:4, 2] = 0
    check_padding(counts, [str(k) for k in range(20)], "counts.npy")
    counts = np.full((20, 3, 60), 0.4)
    counts[:4, 1] = 0  # not at the end
    check_padding(counts, [str(k) for k in range(20)], "counts.npy")


# --- units and inputs -------------------------------------------------------------------------------------------------


def test_the_table_of_units(session):
    session.images().presentations().in_table()
    table = pd.DataFrame(
        {"unit": ["ch9", "ch0", "ch3", "ch6"], "area": ["V1", "V4", "V4", "V4"], "depth": [1.5, 2, "", 3]}
    )
    table.to_csv(session.folder / "units.csv", index=False)
    recording = read_folder(session.folder, "s1", columns={"unit_filter": {"area": "V4"}})
    assert list(recording.units.index) == ["s1-u001", "s1-u002", "s1-u003"]
    assert recording.units["unit_name"].tolist() == UNIT_NAMES[:3]
    assert recording.units["depth"].tolist() == pytest.approx([2, np.nan, 3], nan_ok=True)
    np.testing.assert_array_equal(count_spikes(recording, WINDOW), session.expected()[..., :3])
    assert "keeps no row with area = IT; present are V1, V4" in refusal(
        session, columns={"unit_filter": {"area": "IT"}}
    )
    table.iloc[:3].to_csv(session.folder / "units.csv", index=False)
    assert "1 units, such as ch6, are not in" in refusal(session)
    pd.concat([table, table]).to_csv(session.folder / "units.csv", index=False)
    assert "unit 'ch0' is there twice" in refusal(session)


def test_files_are_inputs(session):
    session.images().presentations()
    write_folder_of_units(session)
    source = FolderFiles("s1", {"folder": str(session.folder)})
    assert source.files() == [str(session.folder / "presentations.csv")]
    assert source.folders() == [str(session.folder / "images"), str(session.folder / "spikes")]
    assert source.counts_spikes()
    with pytest.raises(V4eggError, match=r"^sessions.s1: .*/nowhere: there is no such folder"):
        FolderFiles("s1", {"folder": str(session.folder / "nowhere")}).check(False)
    assert json.dumps(source.files())


# --- described --------------------------------------------------------------------------------------------------------


def test_the_description_of_a_folder(session):
    session.images().presentations(block=np.arange(36) // 18).in_table()
    areas = ["V4", "V4", "V1", "V1"]
    pd.DataFrame({"unit": UNIT_NAMES, "area": areas}).to_csv(session.folder / "units.csv", index=False)
    found = describe(session.folder)
    assert (found.format, found.options, found.questions) == ("folder", {"folder": str(session.folder)}, [])
    assert [(table.name, table.rows) for table in found.tables] == [
        ("presentations.csv", 36),
        ("spikes.csv", len(session.spike_table())),
        ("units.csv", 4),
    ]
    block = found.tables[0].columns[3]
    assert (block.name, block.kind, block.note) == ("block", "number", "0 18, 1 18, 0 to 1")
    (images,) = found.image_sets
    assert (images.name, images.images, images.shape, images.dtype) == ("images", 12, (8, 8), "uint8")
    assert {taken.key: taken.value for taken in found.taken} == {
        "columns.table": "presentations.csv",
        "columns.images": "images",
        "columns.spikes": "spikes.csv",
        "columns.units": "units.csv",
    }
    assert found.units.groups == {"area": {"V4": 2, "V1": 2}}
    assert found.suggested[0].value == {"area": "V4"}
    assert [span.what for span in found.spans] == ["spikes", "presentations"]
    assert str(found.outline) == str(outline_of(read_folder(session.folder, "s1")))
    entry = {"format": "folder", "folder": str(session.folder)}
    assert str(outline_recording("s1", entry, entry["folder"])) == str(found.outline)


def test_what_a_folder_does_not_tell_is_a_question(session):
    session.images(place="a").images(place="b").presentations().in_table()
    found = describe(session.folder)
    assert found.outline is None
    assert [(question.key, [a.value for a in question.answers]) for question in found.questions] == [
        ("columns.images", ["a", "b"])
    ]


def test_why_a_folder_cannot_be_read_is_said(session):
    session.images().presentations().in_table()
    (session.folder / "images/im_3.png").unlink()
    found = describe(session.folder)
    assert (found.outline, found.questions) == (None, [])
    assert "1 stimuli have no image among 11, such as im_3.png" in found.refusal
    for number in range(PICTURES):
        Image.fromarray(picture(number).astype("uint16") * 16).save(session.folder / f"images/im_{number}.png")
    (question,) = describe(session.folder).questions
    assert question.key == "columns.pixel_range" and [0, 4095] in [answer.value for answer in question.answers]


def test_the_outline_of_counts(session):
    session.images("im_{:02d}.png")
    np.save(session.folder / "counts.npy", session.expected().transpose(2, 0, 1))
    found = describe(session.folder)
    assert found.units.rate is None
    assert found.outline.presentations.tolist() == [REPEATS] * PICTURES
