"""Crops of the photographs that ship inside scikit-image and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v4egg.errors import V4eggError
from v4egg.images import photographs
from v4egg.images.photographs import PHOTOGRAPHS, band, load_photograph, photograph_crops


def test_crops_have_the_asked_shape_and_a_source_each():
    crops, sources = photograph_crops(12, 40, "fit", "shape")
    assert crops.shape == (12, 3, 40, 40)
    assert crops.dtype == np.uint8
    assert len(sources) == 12
    assert set(sources) <= set(PHOTOGRAPHS)


def test_a_crop_depends_on_key_and_position_alone():
    few, _ = photograph_crops(5, 32, "fit", ("key", 1))
    many, _ = photograph_crops(9, 32, "fit", ("key", 1))
    other, _ = photograph_crops(5, 32, "fit", ("key", 2))
    np.testing.assert_array_equal(few, many[:5])
    assert not np.array_equal(few, other)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_bands_part_each_photograph_and_hold_a_crop(name):
    height, width, _ = load_photograph(name).shape
    covered = np.zeros((height, width), int)
    for part in photographs.PARTS:
        top, left, bottom, right = band(name, part)
        covered[top:bottom, left:right] += 1
        assert min(bottom - top, right - left) >= 64
    assert (covered == 1).all()


def test_no_pixel_is_in_crops_of_both_parts(monkeypatch):
    """Photographs whose test band is bright and whose fit band is dark: each part's crops are of one kind."""

    def painted(name):
        real = load_photograph(name)
        pixels = np.random.default_rng(0).integers(0, 90, real.shape, np.uint8)
        top, left, bottom, right = band(name, "test")
        pixels[top:bottom, left:right] += 160
        return pixels

    images = {name: painted(name) for name in PHOTOGRAPHS}
    monkeypatch.setattr(photographs, "load_photograph", images.__getitem__)
    # at the smallest crop side nothing is shrunk, so bicubic overshoot cannot blur the two kinds
    fit, _ = photograph_crops(300, 64, "fit", "paint", max_crop=64)
    test, _ = photograph_crops(300, 64, "test", "paint", max_crop=64)
    assert fit.max() < 90
    assert test.min() >= 160


def test_crops_shrink_with_antialiasing(monkeypatch):
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    monkeypatch.setattr(photographs, "load_photograph", lambda name: stripes)
    crops, _ = photograph_crops(3, 16, "fit", "stripes", min_crop=100, max_crop=110, min_sd=0)
    assert np.ptp(crops) < 40


def test_uniform_places_are_not_cropped():
    crops, _ = photograph_crops(200, 24, "fit", "swept", min_sd=12.0)
    assert crops.mean(axis=1).std(axis=(1, 2)).min() > 11.5


def test_textures_do_not_dominate():
    _, sources = photograph_crops(600, 24, "fit", "sources")
    share = {name: sources.count(name) / 600 for name in PHOTOGRAPHS}
    assert sum(share[name] for name in ("brick", "grass", "gravel", "moon", "hubble")) < 0.25
    assert max(share.values()) < 0.3


@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 80), low=st.integers(20, 80), more=st.integers(0, 100), part=st.sampled_from(["fit", "test"])
)
def test_any_sizes_that_fit_give_crops(size, low, more, part):
    crops, _ = photograph_crops(2, size, part, "property", min_crop=low, max_crop=low + more, min_sd=0)
    assert crops.shape == (2, 3, size, size)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"part": "validation"}, "part 'validation'"),
        ({"min_crop": 5000, "max_crop": 6000}, "min_crop of 5000 px fits no photograph"),
        ({"min_crop": 90, "max_crop": 80}, "min_crop <= max_crop"),
        ({"min_sd": 200.0}, "lower min_sd"),
    ],
)
def test_impossible_crops_are_one_clear_line(change, words):
    arguments = {"n": 1, "size": 8, "part": "fit", "key": "x"} | change
    with pytest.raises(V4eggError, match=words) as caught:
        photograph_crops(**arguments)
    assert "\n" not in str(caught.value)


def test_a_photograph_that_the_package_lacks_is_named(monkeypatch):
    missing = photographs.Photograph("skimage", "data/nothing.png", 1.0, "left")
    monkeypatch.setitem(photographs.PHOTOGRAPHS, "nothing", missing)
    with pytest.raises(V4eggError, match="'nothing' is missing; reinstall skimage"):
        load_photograph("nothing")
