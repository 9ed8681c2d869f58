"""The reader of TVSD, on small files of the same layout: MATLAB 7.3, all 1024 channels, structs of references."""

import h5py
import numpy as np
import pytest
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.recordings.readers import describe, read_recording
from v4egg.recordings.readers.tvsd import TvsdFiles, monkey_of, read_tvsd
from v4egg.recordings.recording import load_recording
from v4egg.recordings.splits import count_presentations
from v4egg.seeding import numpy_generator

TRAIN = ["aardvark\\aardvark_01b.jpg", "zebra\\zebra_10s.jpg", "abacus\\abacus_02s.jpg"]
TEST = ["wall\\wall_05n.jpg", "apple\\apple_01b.jpg"]
REPEATS, SIDE = 4, 24


def write_mat(path, fill):
    """A file as MATLAB writes it: HDF5 behind a block of 512 bytes that names MATLAB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def struct(file, name, paths):
    """A struct array of one row: each field a column of references to texts in 16 bits."""
    references = np.empty((len(paths), 1), h5py.ref_dtype)
    for row, path in enumerate(paths):
        data = np.frombuffer(path.encode("utf-16-le"), "uint16")[:, None]
        text = file.create_dataset(f"#refs#/{name}{row}", data=data)
        text.attrs["MATLAB_class"] = np.bytes_("char")
        references[row, 0] = text.ref
    file.create_dataset(f"{name}/things_path", data=references, dtype=h5py.ref_dtype)


def picture(number):
    return np.kron(numpy_generator("tvsd", number).integers(0, 256, (6, 6, 3)), np.ones((4, 4, 1))).astype("uint8")


@pytest.fixture
def truth():
    rng = numpy_generator("tvsd responses")
    return rng.normal(size=(len(TRAIN), 1024)), rng.normal(size=(REPEATS, len(TEST), 1024))


@pytest.fixture
def dataset(tmp_path, truth):
    """The two files of monkey F, and images of THINGS as PNG with the name of a JPEG, so that pixels are exact."""

    def responses(file):
        file["train_MUA"], file["test_MUA_reps"] = truth
        file["test_MUA"] = truth[1].mean(axis=0)
        file["SNR_max"] = np.arange(1024.0)[None]
        file["reliab"] = np.tile(np.arange(1024.0), (435, 1))
        file["tb"] = np.arange(-100.0, 200.0)[None]

    def names(file):
        struct(file, "train_imgs", TRAIN)
        struct(file, "test_imgs", TEST)

    write_mat(tmp_path / "monkeyF/THINGS_normMUA.mat", responses)
    write_mat(tmp_path / "monkeyF/_logs/things_imgs.mat", names)
    for number, name in enumerate([*TRAIN, *TEST, "zzz\\not_shown.jpg"]):
        path = tmp_path / "object_images" / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path, "PNG")
    return tmp_path


def options(dataset, **more):
    return {"images": dataset / "object_images", "image_size": None, **more}


def refusal(dataset, **more):
    with pytest.raises(V4eggError) as caught:
        read_tvsd(dataset / "monkeyF/THINGS_normMUA.mat", "monkeyF", **options(dataset, **more))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_images_and_responses_of_v4(dataset, truth, tmp_path):
    recording = read_tvsd(dataset / "monkeyF/THINGS_normMUA.mat", "monkeyF", **options(dataset))
    assert recording.image_ids == [name.replace("\\", "/") for name in [*TRAIN, *TEST]]
    np.testing.assert_array_equal(recording.images, [picture(i).transpose(2, 0, 1) for i in range(5)])
    train, repeats = truth
    assert recording.counts.shape == (5, REPEATS, 192)
    np.testing.assert_array_equal(recording.counts[:3, 0], train[:, 832:1024].astype("float32"))
    assert np.isnan(recording.counts[:3, 1:]).all()
    np.testing.assert_array_equal(recording.counts[3:], repeats[:, :, 832:1024].swapaxes(0, 1).astype("float32"))
    assert count_presentations(recording).tolist() == [1, 1, 1, REPEATS, REPEATS]
    assert recording.response_unit == "normalized multi-unit activity"
    assert recording.attrs["window_ms"] == [50, 150]
    assert recording.units.loc["monkeyF-u832", ["channel", "array", "published_snr"]].tolist() == [832, 13, 832]
    assert recording.units["published_reliability"].tolist() == list(range(832, 1024))
    recording.save(tmp_path / "monkeyF.zarr")
    assert load_recording(tmp_path / "monkeyF.zarr").response_unit == recording.response_unit


@pytest.mark.parametrize(
    ("monkey", "area", "first", "last"), [("F", "V4", 832, 1023), ("F", "IT", 512, 831), ("N", "V4", 512, 767)]
)
def test_channels_of_each_area(dataset, truth, monkey, area, first, last):
    path = dataset / "monkeyF/THINGS_normMUA.mat"
    recording = read_tvsd(path, "s", **options(dataset, monkey=monkey, area=area))
    assert recording.units["channel"].iloc[[0, -1]].tolist() == [first, last]
    np.testing.assert_array_equal(recording.counts[0, 0], truth[0][0, first : last + 1].astype("float32"))


def test_images_are_reduced_as_they_are_read(dataset):
    source = {"format": "tvsd", "file": str(dataset / "monkeyF/THINGS_normMUA.mat"), "image_size": 12}
    source |= {"images": str(dataset / "object_images")}
    recording = read_recording("monkeyF", source, source["file"])
    reduced = np.asarray(Image.fromarray(picture(1)).resize((12, 12), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(recording.images[1], reduced.transpose(2, 0, 1))
    assert "24 x 24 px are fewer than image_size 30" in refusal(dataset, image_size=30)


def test_the_monkey_is_known_or_asked_for(tmp_path):
    assert monkey_of(tmp_path / "monkeyN/THINGS_normMUA.mat") == "N"
    for wrong in ("THINGS_normMUA.mat", "monkeyN/copy_of/monkeyF/THINGS_normMUA.mat"):
        with pytest.raises(V4eggError, match="set monkey to F or N"):
            monkey_of(tmp_path / wrong)


def test_files_that_do_not_belong_together_are_refused(dataset):
    write_mat(
        dataset / "other.mat", lambda file: (struct(file, "train_imgs", TRAIN[:2]), struct(file, "test_imgs", TEST))
    )
    told = refusal(dataset, image_names=dataset / "other.mat")
    assert "train_MUA has shape (3, 1024), expected (2, 1024)" in told
    write_mat(dataset / "other.mat", lambda file: (struct(file, "train_imgs", TRAIN), struct(file, "test_imgs", TRAIN)))
    assert "test_MUA_reps has shape (4, 2, 1024), expected (repeat, 3, 1024)" in refusal(
        dataset, image_names=dataset / "other.mat"
    )


def test_what_is_missing_is_named(dataset):
    (dataset / "object_images/zebra/zebra_10s.jpg").unlink()
    assert "1 of 5 images of THINGS are not there, such as zebra/zebra_10s.jpg" in refusal(dataset)
    assert "there is no such folder of images" in refusal(dataset, images=dataset / "none")
    assert "no such file" in refusal(dataset, image_names=dataset / "none.mat")
    assert "no train_imgs.things_path" in refusal(dataset, image_names=dataset / "monkeyF/THINGS_normMUA.mat")
    (dataset / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(600))
    assert "no MATLAB 7.3 file" in refusal(dataset, image_names=dataset / "old.mat")


def test_the_description_asks_for_images_and_perhaps_for_the_monkey(dataset):
    path = dataset / "monkeyF/THINGS_normMUA.mat"
    found = describe(path)
    assert found.kind == "TVSD, 3 images shown once and 2 shown 4 times, normalized multi-unit activity"
    assert [question.key for question in found.questions] == ["images"]
    assert (found.units.units, {taken.key: taken.value for taken in found.taken}) == (
        192,
        {"monkey": "F", "area": "V4"},
    )
    path.rename(dataset / "THINGS_normMUA.mat")
    found = describe(dataset / "THINGS_normMUA.mat")
    assert [[answer.value for answer in question.answers] for question in found.questions][1] == ["F", "N"]


def test_files_are_inputs_and_must_be_there(dataset):
    path, images = dataset / "monkeyF/THINGS_normMUA.mat", dataset / "object_images"
    source = TvsdFiles("s", {"file": str(path), "images": str(images)})
    assert source.files() == [str(path), str(dataset / "monkeyF/_logs/things_imgs.mat")]
    assert source.folders() == [str(images)] and source.own and not source.counts_spikes()
    source.check(named=False)
    (dataset / "monkeyF/_logs/things_imgs.mat").unlink()
    with pytest.raises(V4eggError, match=r"^sessions.s: there is no .*things_imgs.mat; correct the path"):
        source.check(named=False)
