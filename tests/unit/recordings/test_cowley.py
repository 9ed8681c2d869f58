"""The reader of the published V4 recordings, on small files of the same layout."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.recordings.readers import cowley
from v4egg.recordings.readers.cowley import read_cowley, required_files
from v4egg.recordings.recording import load_recording
from v4egg.seeding import numpy_generator

UNITS, IMAGES, REPEATS, SIZE = 3, 5, 4, 8


def encoded(image, mode="RGB", file_format="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).convert(mode).save(buffer, file_format)
    return buffer.getvalue()


def pixels(n=IMAGES, size=SIZE):
    return numpy_generator("cowley test", n, size).integers(0, 256, (n, 3, size, size), dtype="uint8")


def named(images, start=1, prefix=""):
    return {f"{prefix}image{start + i:04d}.jpg": encoded(image) for i, image in enumerate(images)}


def write_zip(folder, members, number="190923"):
    path = folder / f"data_V4_responses/images/images_{number}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_responses(folder, values, kind="repeat_averaged", number="190923", **how):
    path = folder / f"data_V4_responses/responses_{kind}/responses_{number}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values, **how)
    return path


@pytest.fixture
def averaged():
    return numpy_generator("averaged").uniform(0, 9, (UNITS, IMAGES))


@pytest.fixture
def folder(tmp_path, averaged):
    write_zip(tmp_path, named(pixels()))
    write_responses(tmp_path, averaged)
    return tmp_path


def refusal(folder, session="s190923", **options):
    with pytest.raises(V4eggError) as caught:
        read_cowley(folder, session, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_repeat_averaged_responses(folder, averaged):
    recording = read_cowley(folder, "s190923", repeats=14)
    np.testing.assert_array_equal(recording.images, pixels())
    assert recording.counts.dtype == np.float32
    np.testing.assert_allclose(recording.counts, averaged.T[:, None, :], rtol=1e-6)
    assert recording.repeats_averaged == 14
    assert list(recording.units.index) == ["s190923-u000", "s190923-u001", "s190923-u002"]
    assert recording.units["neuron"].tolist() == [0, 1, 2]
    assert recording.image_ids[0] == "s190923-image0001"
    assert recording.attrs["count_window_ms"] == 100
    assert recording.attrs["source"].endswith("responses_repeat_averaged/responses_190923.npy")
    assert read_cowley(folder, "s190923").repeats_averaged == 1


def test_raw_responses_are_preferred_and_keep_their_padding(folder):
    raw = numpy_generator("raw").poisson(3, (UNITS, IMAGES, REPEATS)).astype(float)
    raw[1, 2, 2:] = np.nan
    write_responses(folder, raw, "raw")
    recording = read_cowley(folder, "s190923", repeats=14)
    np.testing.assert_array_equal(recording.counts, raw.transpose(1, 2, 0))
    assert recording.repeats_averaged == 1
    assert np.isnan(recording.counts).sum() == 2


def test_a_recording_survives_its_store(folder, tmp_path):
    recording = read_cowley(folder, "s190923", repeats=14)
    recording.save(tmp_path / "s190923.zarr")
    again = load_recording(tmp_path / "s190923.zarr")
    np.testing.assert_array_equal(again.images, recording.images)
    np.testing.assert_array_equal(again.counts, recording.counts)
    assert again.units["neuron"].tolist() == [0, 1, 2]
    assert again.repeats_averaged == 14


def test_zip_layouts_read_alike(folder):
    images = pixels()
    shuffled = dict(sorted(named(images).items(), reverse=True))
    in_folder = {"images_190923/": b"", **named(images, prefix="images_190923/")}
    littered = {**named(images), "__MACOSX/._image0001.jpg": b"resource fork", ".DS_Store": b"finder"}
    for members in (shuffled, in_folder, littered):
        write_zip(folder, members)
        np.testing.assert_array_equal(read_cowley(folder, "s190923").images, images)


def test_images_sort_by_number_not_by_name(tmp_path):
    images = pixels(12)
    write_zip(tmp_path, {f"image{i + 1}.png": encoded(image) for i, image in enumerate(images)})
    write_responses(tmp_path, np.ones((1, 12)))
    np.testing.assert_array_equal(read_cowley(tmp_path, "s190923").images, images)


def test_grey_images_among_colour_images_have_three_channels(folder):
    grey = np.repeat(pixels()[:, :1], 3, axis=1)
    members = {f"image{i + 1}.png": encoded(image, "L" if i % 2 else "RGBA") for i, image in enumerate(grey)}
    write_zip(folder, members)
    np.testing.assert_array_equal(read_cowley(folder, "s190923").images, grey)
    write_zip(folder, {f"image{i + 1}.png": encoded(image, "L") for i, image in enumerate(grey)})
    np.testing.assert_array_equal(read_cowley(folder, "s190923").images, grey[:, :1])


def test_transparent_pixels_show_the_background(folder):
    rgba = np.concatenate([pixels(), np.full((IMAGES, 1, SIZE, SIZE), 255, "uint8")], axis=1)
    rgba[0, 3, :, 0] = 0
    members = {}
    for number, image in enumerate(rgba):
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0), "RGBA").save(buffer, "PNG")
        members[f"image{number + 1}.png"] = buffer.getvalue()
    write_zip(folder, members)
    expected = pixels()
    expected[0, :, :, 0] = 128
    np.testing.assert_array_equal(read_cowley(folder, "s190923").images, expected)
    expected[0, :, :, 0] = 255
    np.testing.assert_array_equal(read_cowley(folder, "s190923", background=1.0).images, expected)


def test_images_of_sixteen_bits(folder):
    grey = pixels()[:, 0]
    members = {}
    for number, image in enumerate(grey):
        buffer = io.BytesIO()
        Image.fromarray(image.astype("uint16") * 257).save(buffer, "PNG")
        members[f"image{number + 1}.png"] = buffer.getvalue()
    write_zip(folder, members)
    np.testing.assert_array_equal(read_cowley(folder, "s190923").images, grey[:, None])


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(IMAGES)))
def test_member_order_does_not_matter(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("order")
    members = list(named(pixels()).items())
    write_zip(folder, dict(members[i] for i in order))
    write_responses(folder, np.ones((1, IMAGES)))
    np.testing.assert_array_equal(read_cowley(folder, "s190923").images, pixels())


def test_session_ids():
    assert cowley.session_number("s190923") == "190923"
    for wrong in ("190923", 190923, "s19092", "s1909231", "s19092x", "s190923\n", "../s190923", "s１９０９２３"):
        with pytest.raises(V4eggError, match="six digits: s190923"):
            cowley.session_number(wrong)


def test_missing_files_say_where_they_come_from(tmp_path, folder):
    message = refusal(tmp_path / "nowhere")
    assert all(word in message for word in ("nowhere/data_V4_responses", "V4EGG_DATA", "V4_compact_models", "download"))
    assert "responses_200101.npy" in refusal(folder, "s200101")
    write_responses(folder, np.ones((1, IMAGES)), number="200101")
    assert "images_200101.zip" in refusal(folder, "s200101")


@pytest.mark.parametrize("repeats", [0, -1, 2.5, "14", True])
def test_repeats_is_a_whole_number(folder, repeats):
    assert "repeats is" in refusal(folder, repeats=repeats)


def test_damaged_zip_files(folder):
    path = folder / "data_V4_responses/images/images_190923.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated or damaged zip" in refusal(folder)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert "truncated or damaged zip" in refusal(folder)
    corrupt = bytearray(whole)
    corrupt[120] ^= 0xFF  # within the first image: the check sum no longer fits
    path.write_bytes(bytes(corrupt))
    assert "images_190923.zip" in refusal(folder)
    write_zip(folder, {})
    assert "no images in the zip file" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image0003.jpg": b"not an image"}, "images_190923.zip: image0003.jpg: not a readable image"),
        ({"image0003.jpg": encoded(pixels()[2])[:90]}, "images_190923.zip: image0003.jpg: not a readable image"),
        ({"notes.txt": b"hello"}, "notes.txt has no image number"),
        ({"image0004.jpg": encoded(pixels(1, 9)[0])}, "images are of several sizes, such as 8 x 8 and 9 x 9 px"),
        ({"more/image0002.jpg": encoded(pixels()[1])}, "have the same number"),
        ({"image0007.jpg": encoded(pixels()[1])}, "none has number 6"),
        ({"image0006.jpg": encoded(pixels()[1])}, "5 images in the responses, 6 in images_190923.zip"),
    ],
)
def test_images_that_do_not_fit(folder, change, message):
    write_zip(folder, named(pixels()) | change)
    assert message in refusal(folder)


def test_numbering_starts_at_one(folder):
    write_zip(folder, named(pixels(), start=0))
    assert "none has number 5" in refusal(folder)
    write_zip(folder, named(pixels(), start=2))
    assert "none has number 1" in refusal(folder)


def test_responses_of_wrong_shape(folder, averaged):
    write_responses(folder, averaged[..., None])
    assert "(3, 5, 1), expected (unit, image)" in refusal(folder)
    write_responses(folder, averaged, "raw")
    assert "(3, 5), expected (unit, image, repeat)" in refusal(folder)


def test_responses_that_are_no_numbers(folder, averaged):
    path = write_responses(folder, averaged.astype(object), allow_pickle=True)
    assert "pickled objects are never loaded" in refusal(folder)
    write_responses(folder, averaged.astype(str))
    assert "expected real numbers" in refusal(folder)
    write_responses(folder, averaged)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a readable .npy array" in refusal(folder)
    path.write_bytes(b"")
    assert "not a readable .npy array" in refusal(folder)


@pytest.mark.parametrize(("value", "what"), [(-1.0, "negative"), (np.inf, "infinite")])
def test_bad_values_name_unit_and_image(folder, averaged, value, what):
    averaged[1, 3] = averaged[2, 0] = value
    write_responses(folder, averaged)
    message = refusal(folder)
    assert what in message
    assert "s190923-u001, image 4 (of 2 such entries)" in message


def test_what_was_not_recorded_is_missing(folder, averaged):
    averaged[2, 4] = np.nan
    write_responses(folder, averaged)
    recording = read_cowley(folder, "s190923")
    np.testing.assert_allclose(recording.counts, averaged.T[:, None, :], rtol=1e-6)
    assert recording.warnings == ["responses_190923.npy: 1 of 3 units have no response to some of the 5 images"]
    write_responses(folder, np.full((UNITS, IMAGES), np.nan))
    assert "all values are NaN" in refusal(folder)


def test_zeros_are_no_padding(folder):
    raw = numpy_generator("padding").poisson(9, (UNITS, IMAGES, REPEATS)).astype(float)
    raw[:, 2:, 3] = 0
    write_responses(folder, raw, "raw")
    assert "at the end of 3 images, such as image0003 from repeat 4 on; write NaN" in refusal(folder)
    raw[:, 2:, 3] = np.nan
    write_responses(folder, raw, "raw")
    np.testing.assert_array_equal(read_cowley(folder, "s190923").counts, raw.transpose(1, 2, 0))


def test_required_files_before_and_after_the_download(tmp_path, folder):
    def kinds(where, session):
        return [path.parent.name for path in required_files(where, session)]

    assert kinds(tmp_path / "empty", "s210325") == ["images", "responses_raw"]
    assert kinds(tmp_path / "empty", "s190923") == ["images", "responses_repeat_averaged"]
    assert kinds(tmp_path / "empty", "s200101") == ["images", "responses_repeat_averaged"]
    write_responses(folder, np.ones((1, 1, 1)), "raw")
    assert kinds(folder, "s190923") == ["images", "responses_raw"]
    assert required_files(folder, "s190923")[:1] == cowley.image_files(folder, "s190923")


def test_published_model_files_by_neuron_number(tmp_path):
    listed = cowley.published_model_files(tmp_path, "s190923")
    assert [cowley.model_neuron(path) for path in listed] == list(range(33))
    assert len(cowley.published_model_files(tmp_path, "s201025")) == 89
    assert cowley.published_model_files(tmp_path, "s210325") == []
    models = tmp_path / "data_compact_models/models_torch"
    models.mkdir(parents=True)
    for name in (
        "compact_model_200101_neuron10.pt",
        "compact_model_200101_neuron2.pt",
        "compact_model_200101_neuron2.txt",
    ):
        (models / name).touch()
    found = cowley.published_model_files(tmp_path, "s200101")
    assert [path.name for path in found] == ["compact_model_200101_neuron2.pt", "compact_model_200101_neuron10.pt"]


def test_the_published_recording_with_raw_repeats(public_data):
    recording = read_cowley(public_data, "s210325")
    assert recording.images.shape == (640, 3, 112, 112)
    assert recording.counts.shape == (640, 10, 50)
    repeats = np.isfinite(recording.counts).sum(axis=1)
    assert (repeats.min(), repeats.max()) == (6, 10)
    averaged = np.load(
        public_data / "data_V4_responses/responses_repeat_averaged/responses_210325.npy", allow_pickle=False
    )
    np.testing.assert_allclose(np.nanmean(recording.counts, axis=1), averaged.T, rtol=1e-5)
