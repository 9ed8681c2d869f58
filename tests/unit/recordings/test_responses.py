"""Counting spikes, judging units, and the store of responses."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v4egg import load_responses
from v4egg.errors import V4eggError
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import count_spikes, make_responses, why_left_out
from v4egg.seeding import numpy_generator
from v4egg.stats import metrics

WINDOW = (0.07, 0.17)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def with_spikes(spikes, image, onset, n_images=3, session="s1", recorded=None):
    units = pd.DataFrame(index=[f"{session}-u{k:03d}" for k in range(len(spikes))])
    trials = pd.DataFrame({"image": image, "onset": onset, "offset": np.asarray(onset) + 0.1})
    images = np.zeros((n_images, 1, 4, 4), "uint8")
    ids = [f"image{k + 1:04d}" for k in range(n_images)]
    times = {unit: np.asarray(t, float) for unit, t in zip(units.index, spikes, strict=True)}
    recorded = recorded and {unit: np.asarray(r, float) for unit, r in zip(units.index, recorded, strict=True)}
    return Recording(session, images, units, ids, trials=trials, spikes=times, recorded=recorded)


def with_counts(counts, repeats_averaged=1, session="s1", **more):
    counts = np.asarray(counts, "float32")
    units = pd.DataFrame(index=[f"{session}-u{k:03d}" for k in range(counts.shape[2])])
    ids = [f"image{k + 1:04d}" for k in range(len(counts))]
    images = np.zeros((len(counts), 3, 4, 4), "uint8")
    return Recording(session, images, units, ids, counts=counts, repeats_averaged=repeats_averaged, **more)


def poisson(images=60, repeats=6, rates=(4.0, 2.0, 0.0, 3.0)):
    """Three responsive units, the third silent and the last one deaf to the image."""
    draw = numpy_generator("responses")
    rate = draw.gamma(2, 0.5, (images, len(rates))) * rates
    rate[:, 3] = rates[3]
    return draw.poisson(rate[:, None], (images, repeats, len(rates))).astype("float32")


def split(n, n_test, n_validation=4):
    return np.array(["validation"] * n_validation + ["train"] * (n - n_test - n_validation) + ["test"] * n_test)


def test_counts_by_hand():
    spikes = [[0.07, 0.10, 0.169999, 0.17, 1.1], [0.5, 2.08]]
    found = count_spikes(with_spikes(spikes, image=[2, 0, 2], onset=[0.0, 1.0, 2.0]))
    expected = np.full((3, 2, 2), np.nan)
    expected[2, :, 0], expected[0, 0, 0] = [3, 0], 1
    expected[2, :, 1], expected[0, 0, 1] = [0, 1], 0
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


@given(seed=st.integers(0, 10**6), start=st.floats(-0.1, 0.1), length=st.floats(0.01, 0.5))
@settings(max_examples=30, deadline=None)
def test_counts_agree_with_a_loop_whatever_the_order_of_trials(seed, start, length):
    draw = numpy_generator("counts", seed)
    grid = 10.0 ** draw.integers(0, 12)  # coarse times coincide with each other and with the ends of windows
    spikes = [np.sort(draw.uniform(0, 10, draw.integers(0, 200))) for _ in range(3)] + [np.array([5.0])]
    spikes = [np.round(times * grid) / grid for times in spikes]
    image, onset = draw.integers(0, 6, 30), np.round(draw.uniform(0, 10, 30) * grid) / grid
    found = count_spikes(with_spikes(spikes, image, onset, n_images=7), (start, start + length))
    expected = [[] for _ in range(7)]
    for k in np.argsort(onset, kind="stable"):
        low, high = onset[k] + start, onset[k] + (start + length)
        expected[image[k]].append([((t >= low) & (t < high)).sum() for t in spikes])
    assert found.shape == (7, max(map(len, expected)), 4)
    for k, rows in enumerate(expected):
        np.testing.assert_array_equal(found[k, : len(rows)], np.reshape(rows, (-1, 4)))
        assert np.isnan(found[k, len(rows) :]).all()


def test_what_was_not_recorded_is_missing_and_not_zero():
    recorded = [[[0.0, 1.2]], [[0.0, 2.17]], [[0.0, 2.169]], [[0.07, 0.17], [1.08, 9]], np.empty((0, 2))]
    source = with_spikes([[0.1, 2.1]] * 5, image=[0, 1, 0], onset=[0.0, 1.0, 2.0], n_images=2, recorded=recorded)
    found = count_spikes(source, WINDOW)
    nan = np.nan
    np.testing.assert_array_equal(found[0].T, [[1, nan], [1, 1], [1, nan], [1, 1], [nan, nan]])
    np.testing.assert_array_equal(found[1, 0], [0, 0, 0, nan, nan])


def test_spike_times_must_ascend():
    for times in ([0.2, 0.1], [0.1, np.nan]):
        with pytest.raises(V4eggError, match="spike times of unit s1-u000 are not ascending"):
            count_spikes(with_spikes([times], image=[0], onset=[0.0]))


def test_statistics_are_those_of_the_fit_images_alone():
    counts = poisson()
    roles = split(60, 20)
    roles[5] = "excluded"
    selection = {"min_reliability": 0.5, "min_signal_to_noise": 0.1, "min_mean_count": None}
    found = make_responses(with_counts(counts), roles, selection=selection)
    fit = counts[np.isin(roles, ["train", "validation"])]
    np.testing.assert_allclose(found.mean_count, fit.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(found.sd_count, fit.mean(1).std(0), rtol=1e-6)
    np.testing.assert_allclose(found.signal_to_noise, metrics.signal_to_noise(fit), rtol=1e-6)
    np.testing.assert_array_equal(found.selected, [True, True, False, False])
    assert found.reliability[0] > 0.8 > found.reliability[3]
    assert np.isnan(found.reliability[2])
    other = counts.copy()
    other[~np.isin(roles, ["train", "validation"])] = numpy_generator("else").poisson(9, (21, 6, 4))
    changed = make_responses(with_counts(other), roles, selection=selection)
    for name in ("reliability", "signal_to_noise", "mean_count", "sd_count", "selected"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(found, name))


def test_spikes_and_their_counts_give_the_same_responses():
    draw = numpy_generator("same")
    spikes = [np.sort(draw.uniform(0, 60, 900)), np.sort(draw.uniform(0, 60, 400))]
    image = draw.permutation(np.repeat(np.arange(20), 5))
    source = with_spikes(spikes, image, np.arange(100) * 0.5, n_images=20)
    direct = make_responses(source, split(20, 5), window=WINDOW)
    through = make_responses(with_counts(count_spikes(source, WINDOW)), split(20, 5))
    np.testing.assert_array_equal(direct.counts, through.counts)
    np.testing.assert_array_equal(direct.reliability, through.reliability)


def test_mean_zscored_and_images_of():
    counts = poisson()
    counts[7, 3:], counts[9, :, 1] = np.nan, np.nan
    found = make_responses(with_counts(counts), split(60, 20))
    mean = found.mean()
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean[7], counts[7, :3].mean(0))
    assert np.isnan(mean[9, 1]) and np.isfinite(mean[9, 0])
    np.testing.assert_array_equal(found.images_of("validation"), np.arange(4))
    np.testing.assert_array_equal(found.images_of("train", "validation"), np.arange(40))
    assert found.images_of("excluded").size == 0
    fit = found.zscored()[found.images_of("train", "validation")]
    np.testing.assert_allclose(np.nanmean(fit[:, [0, 1, 3]], axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(fit[:, [0, 1, 3]], axis=0), 1, atol=1e-5)
    assert np.isnan(fit[:, 2]).all()
    with pytest.raises(V4eggError, match="unknown split"):
        found.images_of("tests")


def test_averaged_counts_have_no_reliability_and_only_the_rate_selects():
    counts = poisson().mean(axis=1, keepdims=True)
    counts[..., 3] = 0.1  # constant but for rounding
    selection = {"min_reliability": 0.9, "min_signal_to_noise": 9, "min_mean_count": 3}
    found = make_responses(with_counts(counts, repeats_averaged=6), split(60, 20), selection=selection)
    assert np.isnan(found.reliability).all() and np.isnan(found.signal_to_noise).all()
    np.testing.assert_array_equal(found.selected, [True, False, False, False])
    assert found.sd_count[3] == 0
    assert make_responses(with_counts(counts, 6), split(60, 20)).selected.tolist() == [True, True, False, False]


def test_a_unit_without_any_fit_count_is_not_selected():
    counts = poisson()
    counts[:40, :, 1] = np.nan
    found = make_responses(with_counts(counts), split(60, 20))
    np.testing.assert_array_equal(found.selected, [True, False, False, True])
    assert np.isnan(found.mean_count[1])


def test_reliability_is_keyed_by_seed_and_session():
    counts, roles = poisson(), split(60, 20)
    first = make_responses(with_counts(counts), roles, seed=1)
    np.testing.assert_array_equal(first.reliability, make_responses(with_counts(counts), roles, seed=1).reliability)
    assert (first.reliability != make_responses(with_counts(counts), roles, seed=2).reliability)[[0, 1]].all()


def test_round_trip(tmp_path):
    counts = poisson()
    counts[3, 4:] = np.nan
    found = make_responses(with_counts(counts), split(60, 20), selection={"min_reliability": 0.5})
    found.save(tmp_path / "s1.zarr", seed=3, config={"window": WINDOW})
    loaded = load_responses(tmp_path / "s1.zarr")
    assert (loaded.session, loaded.image_ids, loaded.units) == (found.session, found.image_ids, found.units)
    assert loaded.repeats_averaged == 1
    for name in ("counts", "split", "reliability", "signal_to_noise", "mean_count", "sd_count", "selected"):
        value = getattr(loaded, name)
        np.testing.assert_array_equal(value, getattr(found, name))
        assert value.dtype.kind == getattr(found, name).dtype.kind
    np.testing.assert_array_equal(loaded.zscored(), found.zscored())


def test_no_unit_passes():
    with pytest.raises(V4eggError, match=r"session s1: none of 4 units.*min_mean_count 50, best 3\.9") as caught:
        make_responses(with_counts(poisson()), split(60, 20), selection={"min_reliability": 0.1, "min_mean_count": 50})
    assert "min_reliability 0.1, best 0.9" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(V4eggError, match="all are silent or constant"):
        make_responses(with_counts(0 * poisson()), split(60, 20))
    with pytest.raises(V4eggError, match=r"min_reliability 0\.5, none measurable"):
        make_responses(with_counts(0 * poisson()), split(60, 20), selection={"min_reliability": 0.5})


@pytest.mark.parametrize("position", [2, 20, 50])
def test_an_image_without_response_is_excluded(position):
    counts, roles = poisson(), split(60, 20)
    counts[position] = np.nan
    found = make_responses(with_counts(counts), roles)
    assert found.split[position] == "excluded"
    assert roles[position] != "excluded"
    assert (found.split == roles).sum() == 59
    with pytest.raises(V4eggError, match="no train or validation image has a response"):
        make_responses(with_counts(np.where(np.arange(60)[:, None, None] < 40, np.nan, counts)), roles)


def test_a_unit_that_was_recorded_for_few_images_is_left_out_with_a_word():
    counts = poisson()
    counts[30:, :, 1] = np.nan  # of the 40 fit images
    counts[10:20, :3, 0] = np.nan
    bounds = {"min_recorded": 0.8, "min_reliability": 0.5, "min_signal_to_noise": None}
    found = make_responses(with_counts(counts), split(60, 20), selection=bounds)
    np.testing.assert_array_equal(found.recorded_images, np.float32([1, 0.75, 1, 1]))
    np.testing.assert_allclose(found.recorded_fraction, [1 - 30 / 360, 0.5, 1, 1])
    np.testing.assert_array_equal(found.selected, [True, False, False, False])
    assert found.reliability[1] > 0.7  # of the images that it was recorded for
    np.testing.assert_allclose(found.mean_count[1], counts[:30, :, 1].mean(), rtol=1e-6)
    reasons = why_left_out(found, bounds)
    assert reasons[:2] == ["", "recorded images 0.75 is below responses.selection.min_recorded 0.8"]
    assert reasons[2] == (
        "silent or constant over the fit images; "
        "reliability is not measurable, for responses.selection.min_reliability 0.5"
    )
    assert "responses.selection.min_reliability 0.5" in reasons[3]
    everyone = make_responses(with_counts(counts), split(60, 20), selection={"min_recorded": 0.7})
    assert why_left_out(everyone, {"min_recorded": 0.7})[1] == ""


def test_the_recorded_fraction_is_of_all_presentations(tmp_path):
    onset, image = np.arange(8.0), np.arange(8) % 4
    source = with_spikes([onset + 0.1] * 2, image, onset, 4, recorded=[[[0, 6]], [[2, 6]]])
    source.spikes["s1-u000"] = np.array([0.1, 4.1])
    source.spikes["s1-u001"] = np.array([2.1])
    found = make_responses(source, np.array(["train"] * 4))
    np.testing.assert_allclose(found.recorded_fraction, [6 / 8, 4 / 8])
    np.testing.assert_allclose(found.recorded_images, [1, 1])
    found.save(tmp_path / "s1.zarr")
    np.testing.assert_array_equal(load_responses(tmp_path / "s1.zarr").recorded_fraction, found.recorded_fraction)


def test_spikes_that_no_window_contains_are_named():
    source = with_spikes([[0.05, 0.09], []], image=[0, 1, 2], onset=[10.0, 11.0, 12.5])
    with pytest.raises(V4eggError, match=r"no spike lies in any.*spikes are at 0.05 to 0.09 s.* at 10 to 12.5 s"):
        make_responses(source, np.array(["train"] * 3))


def test_averages_may_be_missing():
    counts = poisson().mean(axis=1, keepdims=True)
    counts[4, 0, 1] = np.nan
    found = make_responses(with_counts(counts, repeats_averaged=6), split(60, 20))
    assert np.isnan(found.zscored()[4, 1]) and found.selected[1]


def test_bad_input_is_named():
    counts, roles = poisson(), split(60, 20)
    with pytest.raises(V4eggError, match=r"split of shape \(59,\) for 60 images"):
        make_responses(with_counts(counts), roles[1:])
    with pytest.raises(V4eggError, match="unknown split fit"):
        make_responses(with_counts(counts), np.full(60, "fit"))
    with pytest.raises(V4eggError, match="no train or validation image"):
        make_responses(with_counts(counts), np.full(60, "test"))
    with pytest.raises(V4eggError, match="selection: unknown key min_rate"):
        make_responses(with_counts(counts), roles, selection={"min_rate": 1})
    with pytest.raises(V4eggError, match=r"window \(0.2, 0.1\) s is empty"):
        count_spikes(with_spikes([[1.0]], [0], [0.0]), (0.2, 0.1))
    with pytest.raises(V4eggError, match="s1: no presentation"):
        count_spikes(with_spikes([[1.0]], [], []))
    with pytest.raises(V4eggError, match="shows image 3 of 3"):
        count_spikes(with_spikes([[1.0]], [0, 3], [0.0, 1.0]))


def test_responses_that_are_no_counts_are_not_selected_by_their_mean(tmp_path):
    recording = with_counts(poisson() - 3, response_unit="normalized multi-unit activity")
    made = make_responses(recording, split(60, 20), selection={"min_mean_count": 0.05, "min_reliability": 0.3})
    assert made.selected.tolist() == [True, True, False, False]
    assert made.mean_count[1] < 0.05
    made.save(tmp_path / "s1.zarr")
    assert load_responses(tmp_path / "s1.zarr").response_unit == "normalized multi-unit activity"
    assert not made.are_counts and make_responses(with_counts(poisson()), split(60, 20)).are_counts


def test_many_repeats_of_test_images_alone_cost_nothing():
    counts = poisson()
    counts[:40, 1:] = np.nan
    made = make_responses(with_counts(counts), split(60, 20))
    assert np.isnan(made.reliability).all()
    np.testing.assert_allclose(made.mean_count, counts[:40, 0].mean(0), rtol=1e-6)
