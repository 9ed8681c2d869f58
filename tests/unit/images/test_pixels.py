"""One rule of pixels for a whole source: right values with known truth, or one line that says what to declare."""

import numpy as np
import pytest

from v4egg.errors import V4eggError
from v4egg.images.pixels import as_uint8, range_of, scaled, stacked

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (3, 4, 5)).astype(np.uint8)
GREY[0] = 0  # an image that is black throughout stays black
RGB = GENERATOR.integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)


def read(frames, **options):
    return as_uint8(list(frames), where="s.nwb: images", **options)


@pytest.mark.parametrize("truth", [GREY, RGB], ids=["grey", "RGB"])
@pytest.mark.parametrize(
    "stored",
    [
        lambda pixels: pixels,
        lambda pixels: pixels.astype(np.uint16) * 257,
        lambda pixels: pixels / 255,
        lambda pixels: (pixels / 255).astype(np.float32),
        lambda pixels: pixels.astype(np.float64),
        lambda pixels: pixels.astype(">u2") * 257,
    ],
    ids=["uint8", "uint16", "float64", "float32", "whole floats", "big-endian"],
)
def test_the_same_pictures_whatever_the_dtype(stored, truth):
    images = read(stored(truth))
    expected = truth[:, None] if truth.ndim == 3 else truth.transpose(0, 3, 1, 2)
    assert all(image.dtype == np.uint8 for image in images)
    np.testing.assert_array_equal(np.stack(images), expected)


def test_truth_values_are_black_and_white():
    (image,) = read([np.array([[True, False]])])
    assert image.tolist() == [[[255, 0]]]
    mixed = read([np.array([[True]]), np.array([[200]], np.uint8)])
    assert [image.item() for image in mixed] == [255, 200]


@pytest.mark.parametrize(
    ("frames", "value_range", "expected"),
    [
        (np.array([[[0, 1023]]], np.uint16), (0, 1023), [0, 255]),
        (np.array([[[0, 1]]], np.uint8), (0, 1), [0, 255]),
        (np.array([[[0, 1]]], np.uint8), (0, 255), [0, 1]),
        (np.array([[[-1.0, 0.0, 1.0]]]), (-1, 1), [0, 128, 255]),
        (np.array([[[100, 300]]], np.int32), (100, 300), [0, 255]),
        (np.array([[[0, 60000]]], np.uint32), (0, 65535), [0, 233]),
        (np.array([[[0, 10]]], np.uint8), (10, 0), [255, 0]),  # a printed scale: low is white
    ],
)
def test_a_declared_range_is_linear(frames, value_range, expected):
    (image,) = read(frames, value_range=value_range)
    assert image[0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        (GREY.astype(np.uint16), {}, "uint16 pixels from 0 to 255 .* set pixel_range"),
        (GREY.astype(np.uint16) * 16, {}, "uint16 pixels from 0 to 40.. .* set pixel_range"),
        (GREY.astype(np.int16), {}, "int16 pixels .* set pixel_range"),
        (GREY.astype(np.uint32), {}, "uint32 pixels .* set pixel_range"),
        (GREY % 2, {}, "uint8 pixels from 0 to 1 .* set pixel_range"),
        (GREY * 0, {}, "uint8 pixels from 0 to 0 .* set pixel_range"),
        (GREY / 2, {}, "float64 pixels .* set pixel_range"),
        (GREY / 255 - 0.5, {}, "float64 pixels from -0.5 .* set pixel_range"),
        ((GREY // 16).astype(float), {}, "float64 pixels from 0 to 15 .* set pixel_range"),
        (np.full((1, 2, 2), np.nan), {}, "NaN or infinite"),
        (np.full((1, 2, 2), np.inf), {}, "NaN or infinite"),
        (np.full((1, 2, 2), np.nan), {"value_range": (0, 1)}, "NaN or infinite"),
        ([GREY[1], GREY[1] / 255], {}, "dtypes float64 and uint8"),
        (GREY, {"value_range": (0, 100)}, r"outside of pixel_range \[0, 100\]"),
        (GREY, {"value_range": (5, 5)}, "two different finite numbers"),
        (GREY, {"value_range": (0, float("nan"))}, "two different finite numbers"),
        (np.zeros((1, 3, 8, 8)), {}, r"shape \(3, 8, 8\)"),
        (np.zeros((1, 2, 2), complex), {}, "dtype complex128"),
        (np.zeros((1, 0, 2)), {}, r"shape \(0, 2\)"),
    ],
)
def test_what_is_ambiguous_is_refused_in_one_line(frames, options, words):
    with pytest.raises(V4eggError, match=words) as caught:
        read(frames, **options)
    assert "s.nwb: images" in str(caught.value)


def test_the_range_is_that_of_all_images_and_not_of_each():
    dark, bright = np.full((2, 2), 0.2), np.full((2, 2), 0.8)
    assert [image[0, 0, 0].item() for image in read([dark, bright])] == [51, 204]
    dark, bright = np.full((2, 2), 257, np.uint16), np.full((2, 2), 65535, np.uint16)
    assert [image[0, 0, 0].item() for image in read([dark, bright])] == [1, 255]
    with pytest.raises(V4eggError, match=r"from 0.5 to 200"):
        read([np.full((2, 2), 0.5), np.full((2, 2), 200.0)])


def test_a_declared_range_is_that_of_all_dtypes():
    frames = [np.full((2, 2), 1023, np.uint16), np.full((2, 2), 93, np.uint8)]
    assert [image[0, 0, 0].item() for image in read(frames, value_range=(0, 1023))] == [255, 23]


def test_images_can_be_read_one_at_a_time():
    stored = GREY.astype(np.uint16) * 257
    used = range_of(iter(stored), where="s")
    assert used == (0, 65535)
    np.testing.assert_array_equal(np.stack([scaled(frame, used, where="s") for frame in stored]), GREY[:, None])


@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_blends_with_the_background(channels):
    frame = np.full((1, 3, channels + 1), 200, np.uint8)
    frame[0, :, -1] = [0, 51, 255]
    for background, expected in [(0.5, [128, 142, 200]), (0.0, [0, 40, 200]), (1.0, [255, 244, 200])]:
        (image,) = read([frame], background=background)
        assert image.shape == (channels, 1, 3)
        assert image[-1, 0].tolist() == expected


def test_alpha_is_scaled_by_its_dtype_and_not_by_the_range():
    frame = np.array([[[100, 255], [50, 255], [100, 0]]], np.uint8)
    (image,) = read([frame], value_range=(0, 100))
    assert image[0, 0].tolist() == [255, 128, 128]
    frame = np.array([[[65535, 65535], [65535, 0]]], np.uint16)
    assert read([frame])[0][0, 0].tolist() == [255, 128]
    frame = np.array([[[1.0, 1.0], [1.0, 0.5]]])
    assert read([frame])[0][0, 0].tolist() == [255, 191]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.full((2, 2, 4), [200, 200, 200, 1], np.uint8), "alpha of all images is at most 1 of 255"),
        (np.full((2, 2, 4), [60000, 0, 0, 255], np.uint16), "alpha of all images is at most 255 of 65535"),
        (np.full((2, 2, 4), [255.0, 0, 0, 255]), "alpha of floats must lie from 0 to 1"),
        (np.full((2, 2, 4), [0.5, 0, 0, np.nan]), "alpha of floats must lie from 0 to 1"),
        (np.full((2, 2, 4), 255, np.int32), "alpha of dtype int32"),
    ],
)
def test_alpha_of_unknown_scale_is_refused(frame, words):
    with pytest.raises(V4eggError, match=words):
        read([frame])


def test_grey_and_colour_images_of_one_source_are_stacked():
    grey, colour = GREY[1][None], RGB[1].transpose(2, 0, 1)
    both = stacked(iter([grey, colour]), 2, where="s")
    assert both.shape == (2, 3, 4, 5)
    assert (both[0] == grey).all()
    assert (both[1] == colour).all()


def test_images_of_several_sizes_are_refused():
    with pytest.raises(V4eggError, match=r"several sizes, such as 4 x 4 and 6 x 4 px"):
        stacked([np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 6), np.uint8)], 2, where="s")


@pytest.mark.parametrize(("dtype", "white"), [("uint16", 2**15 - 1), ("float32", 127), ("uint16", 2**14 - 1)])
def test_values_of_fewer_bits_than_they_are_stored_in_are_not_read_at_half_their_brightness(dtype, white):
    frames = [np.array([[0, white], [white // 2, 1]], dtype)]
    with pytest.raises(V4eggError, match="pixel_range"):
        as_uint8(frames, where="s.nwb")
    assert as_uint8(frames, where="s.nwb", value_range=(0, white))[0].max() == 255
