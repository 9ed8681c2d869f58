"""Image-wise splits: the same picture never falls on both sides."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.recordings import splits
from v4egg.recordings.recording import Recording
from v4egg.seeding import numpy_generator


def pictures(n, *key, size=32, channels=3):
    """Smooth random pictures (n, channels, size, size): unlike each other, as natural images are."""
    coarse = numpy_generator("pictures", *key).integers(0, 256, (n, channels, 4, 4))
    return coarse.repeat(size // 4, axis=2).repeat(size // 4, axis=3).astype("uint8")


def recording(session, images, presentations=None):
    images = np.asarray(images)
    ids = [f"image{k + 1:04d}" for k in range(len(images))]
    units = pd.DataFrame(index=[f"{session}-u000"])
    if presentations is None:
        return Recording(
            session, images, units, ids, counts=np.ones((len(images), 1, 1), "float32"), repeats_averaged=5
        )
    shown = np.repeat(np.arange(len(images)), presentations)
    trials = pd.DataFrame(
        {"image": shown, "onset": np.arange(len(shown)) * 0.2, "offset": np.arange(len(shown)) * 0.2 + 0.1}
    )
    return Recording(session, images, units, ids, trials=trials, spikes={units.index[0]: np.array([0.1])})


def by_name(dataset):
    return dict(zip(dataset["image"].values.tolist(), dataset["split"].values.tolist(), strict=True))


def test_near_duplicates_see_through_scale_contrast_noise_and_size():
    one = pictures(20, "a", size=64)
    dimmed = (one[[3, 7]] * 0.6 + 30).astype("uint8")
    noisy = np.clip(one[[5]] + numpy_generator("noise").normal(0, 6, one[[5]].shape), 0, 255).astype("uint8")
    small = one[[11]].reshape(1, 3, 32, 2, 32, 2).mean((3, 5)).astype("uint8")
    first, second, third = splits.near_duplicates([one, np.concatenate([dimmed, noisy]), small])
    np.testing.assert_array_equal(first, np.arange(20))
    np.testing.assert_array_equal(second, [3, 7, 5])
    np.testing.assert_array_equal(third, [11])
    assert first.dtype == np.int64


def test_near_duplicates_are_transitive_and_grey_meets_colour():
    grey = pictures(4, "grey", channels=1)
    (labels, again) = splits.near_duplicates([grey, grey.repeat(3, axis=1)[::-1]])
    np.testing.assert_array_equal(again, labels[::-1])
    start, end = pictures(2, "chain").astype(float)
    chain = np.stack([start + (end - start) * share for share in np.linspace(0, 1, 40)]).astype("uint8")
    (labels,) = splits.near_duplicates([chain])
    assert (labels == 0).all()
    (labels,) = splits.near_duplicates([chain[[0, -1]]])
    np.testing.assert_array_equal(labels, [0, 1])


def test_uniform_images_are_the_same_only_at_the_same_level():
    uniform = np.stack([np.full((3, 20, 20), level, "uint8") for level in (128, 0, 128, 255, 0)])
    (labels,) = splits.near_duplicates([np.concatenate([uniform, pictures(2, "u", size=20)])])
    np.testing.assert_array_equal(labels, [0, 1, 0, 3, 1, 5, 6])


def test_duplicates_across_blocks_of_the_comparison(monkeypatch):
    images = pictures(50, "blocks")
    images[[17, 49]] = images[2]
    images[30] = images[29]
    (whole,) = splits.near_duplicates([images])
    monkeypatch.setattr(splits, "BLOCK", 7)
    (blocked,) = splits.near_duplicates([images])
    np.testing.assert_array_equal(blocked, whole)
    assert (whole[[17, 49]] == 2).all() and whole[30] == 29 and len(np.unique(whole)) == 47


@pytest.mark.parametrize("size", [16, 20, 33, 112, 7])
def test_thumbnails_average_equal_boxes(size):
    images = numpy_generator("boxes", size).integers(0, 256, (2, 3, size, size)).astype("uint8")
    found = splits.thumbnails(images).reshape(2, 3, 16, 16)
    fine = images.repeat(16, axis=2).repeat(16, axis=3).reshape(2, 3, 16, size, 16, size)
    np.testing.assert_allclose(found, fine.mean((3, 5)), rtol=1e-4)


def test_halves_repeated_and_none():
    presentations = np.full(12, 2)
    presentations[[1, 8]] = 10
    dataset = splits.make_splits(
        [
            recording("s1", pictures(9, 1)),
            recording("s2", pictures(12, 2), presentations),
            recording("s3", pictures(5, 3)),
        ],
        {"s1": "halves", "s2": {"split": "repeated", "min_repeats": 10}, "s3": {"split": "none", "min_repeats": 3}},
        validation_fraction=0.25,
    )
    np.testing.assert_array_equal(splits.split_of(dataset, "s1") == "test", np.arange(9) >= 4)
    np.testing.assert_array_equal(np.flatnonzero(splits.split_of(dataset, "s2") == "test"), [1, 8])
    assert set(splits.split_of(dataset, "s3")) == {"train", "validation"}
    assert [(splits.split_of(dataset, s) == "validation").sum() for s in ("s1", "s2", "s3")] == [1, 2, 1]


def test_images_without_a_response_are_excluded_and_do_not_test():
    images = pictures(9, 1)
    images[0] = images[8]  # alike, but the last one has no response and tests nothing
    presentations = np.array([2, 0, 2, 2, 2, 2, 2, 2, 0])
    dataset = splits.make_splits([recording("s1", images, presentations)], {"s1": "halves"})
    found = splits.split_of(dataset, "s1")
    np.testing.assert_array_equal(np.flatnonzero(found == "excluded"), [1, 8])
    np.testing.assert_array_equal(np.flatnonzero(found == "test"), [4, 5, 6, 7])


@given(seed=st.integers(0, 1000), copies=st.integers(0, 20), fraction=st.sampled_from([0.0, 0.1, 0.5]))
@settings(max_examples=25, deadline=None)
def test_no_picture_falls_on_two_sides(seed, copies, fraction):
    draw = numpy_generator("sides", seed)
    images = pictures(36, seed)
    images[draw.integers(0, 36, copies)] = images[draw.integers(0, 36, copies)]
    sessions = [recording(f"s{k}", images[12 * k : 12 * k + 12]) for k in range(3)]
    policies = {"s0": "halves", "s1": "none", "s2": "halves"}
    try:
        dataset = splits.make_splits(sessions, policies, validation_fraction=fraction, seed=seed)
    except V4eggError:
        assert copies > 5  # every fit image of a session may be a copy of a test image
        return
    split, group = dataset["split"].values.astype(str), dataset["duplicate_group"].values
    test = np.r_[6:12, 30:36]
    np.testing.assert_array_equal(np.flatnonzero(split == "test"), test)
    for label in np.unique(group):
        roles = set(split[group == label])
        assert len(roles) == 1 or roles == {"test", "excluded"}
    fitting = np.isin(split, ["train", "validation"])
    assert not np.isin(group[fitting], group[test]).any()
    np.testing.assert_array_equal(np.isin(group, group[test]), ~fitting)  # nothing is excluded without need
    assert (split == "validation").any() == (fraction > 0)


def test_validation_is_stable_when_sessions_come_or_change_place():
    sessions = [recording(f"s{k}", pictures(40, "stable", k)) for k in range(3)]
    policies = {"s0": "halves", "s1": "none", "s2": "none"}
    alone = by_name(splits.make_splits(sessions[:2], policies, seed=1))
    everyone = by_name(splits.make_splits(sessions, policies, seed=1))
    assert alone == {name: everyone[name] for name in alone}
    assert everyone == by_name(splits.make_splits(sessions[::-1], policies, seed=1))
    assert everyone != by_name(splits.make_splits(sessions, policies, seed=2))


def test_the_order_of_sessions_that_share_pictures_does_not_matter():
    images = pictures(60, "shared")
    sessions = [recording("s0", images[:40]), recording("s1", images[20:]), recording("s2", images[10:50])]
    policies = dict.fromkeys(("s0", "s1", "s2"), "none")
    forwards = splits.make_splits(sessions, policies, validation_fraction=0.3)
    backwards = splits.make_splits(sessions[::-1], policies, validation_fraction=0.3)
    assert by_name(forwards) == by_name(backwards)


def test_recordings_are_taken_one_at_a_time():
    sessions = (recording(f"s{k}", pictures(6, "lazy", k)) for k in range(2))
    whole = splits.make_splits(sessions, {"s0": "none", "s1": "none"})
    summaries = [splits.pictures_of(recording(f"s{k}", pictures(6, "lazy", k))) for k in range(2)]
    assert whole.equals(splits.make_splits(summaries, {"s0": "none", "s1": "none"}))


def test_round_trip(tmp_path):
    dataset = splits.make_splits(
        [recording("s1", pictures(8, 1)), recording("s2", pictures(6, 2))], {"s1": "halves", "s2": "none"}
    )
    splits.save_splits(dataset, tmp_path / "splits.zarr", seed=0, config={"validation_fraction": 0.1})
    loaded = splits.load_splits(tmp_path / "splits.zarr")
    assert by_name(loaded) == by_name(dataset)
    np.testing.assert_array_equal(loaded["duplicate_group"], dataset["duplicate_group"])
    for session in ("s1", "s2"):
        np.testing.assert_array_equal(splits.split_of(loaded, session), splits.split_of(dataset, session))
    assert loaded["split"].attrs["units"]
    with pytest.raises(V4eggError, match="no session s3 among s1, s2"):
        splits.split_of(loaded, "s3")


A, B = pictures(6, "a"), pictures(6, "b")
REPEATED = {"split": "repeated", "min_repeats": 4}


@pytest.mark.parametrize(
    ("sessions", "policies", "options", "message"),
    [
        ([], {}, {}, "no session"),
        ([("s1", A[:3])], {"s1": "halves"}, {}, "session s1: split halves needs at least 4"),
        ([("s1", A, [1, 2, 3, 3, 0, 1])], {"s1": REPEATED}, {}, r"session s1.*min_repeats = 4.*at most 3"),
        ([("s1", A, [4] * 6)], {"s1": REPEATED}, {}, "session s1.*no image to fit"),
        ([("s1", A), ("s2", A[3:])], {"s1": "halves", "s2": "none"}, {}, "session s2.*no image to fit: all 3"),
        ([("s1", A)], {}, {}, "session s1: split is None; give one of halves, repeated, none"),
        ([("s1", A)], {"s1": "thirds"}, {}, "split is thirds"),
        ([("s1", A)], {"s1": {"split": "repeated"}}, {}, "session s1: split repeated needs min_repeats"),
        ([("s1", A), ("s1", B)], {"s1": "none"}, {}, "image s1/image0001 occurs twice"),
        ([("s1", A)], {"s1": "none"}, {"validation_fraction": 1}, "validation_fraction is 1"),
        ([("s1", A)], {"s1": "none"}, {"near_duplicate": 99}, "near_duplicate is 99"),
    ],
)
def test_errors_are_one_line_that_names_the_session(sessions, policies, options, message):
    with pytest.raises(V4eggError, match=message) as caught:
        splits.make_splits([recording(*each) for each in sessions], policies, **options)
    assert "\n" not in str(caught.value)


def published_images(session):
    root = Path(os.environ.get("V4EGG_DATA", "")) / "V4_compact_models"
    path = root / "data_V4_responses" / "images" / f"images_{session}.zip"
    if not os.environ.get("V4EGG_DATA") or not path.exists():
        pytest.skip("V4EGG_DATA does not name a folder with V4_compact_models")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg") and "__MACOSX" not in name)
        images = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names]
    return np.stack(images).transpose(0, 3, 1, 2)


def test_a_published_session_that_shows_300_images_twice():
    (labels,) = splits.near_duplicates([published_images("190925")])
    assert 890 <= len(np.unique(labels)) <= 900
    assert len(labels) == 1200


@pytest.mark.parametrize(
    ("shown", "configured", "used"),
    [([1, 1], None, 1), ([3, 3], None, 3), ([1, 3], None, 3), ([1, 3], 1, 1), ([3, 3], 1, 1), ([1, 3], 3, 3)],
)
def test_colour_follows_the_recordings_unless_the_configuration_says_otherwise(tmp_path, shown, configured, used):
    sessions = [recording(f"s{i}", pictures(8, "colour", i, channels=c)) for i, c in enumerate(shown)]
    made = splits.make_splits(sessions, {"s0": "halves", "s1": "none"}, channels=configured)
    splits.save_splits(made, tmp_path / "splits.zarr")
    assert splits.channels_of(tmp_path / "splits.zarr") == used


def test_colour_that_no_neuron_was_shown_is_refused():
    grey = recording("s1", pictures(8, "grey", channels=1))
    with pytest.raises(V4eggError, match=r"'images\.channels' is 3 .* every session are grey.* remove the key"):
        splits.make_splits([grey], {"s1": "halves"}, channels=3)
