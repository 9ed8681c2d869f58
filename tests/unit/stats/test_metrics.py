"""The metrics against plain loops and scipy, their invariances, and their bias on simulated noise."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from v4egg.seeding import numpy_generator
from v4egg.stats import metrics

OF_COUNTS = {
    "explainable_variance": metrics.explainable_variance,
    "signal_to_noise": metrics.signal_to_noise,
    "leave_one_out_oracle": metrics.leave_one_out_oracle,
    "split_half_reliability": lambda counts: metrics.split_half_reliability(counts, ("test",), n_splits=5),
}
OF_BOTH = {
    "correlation_to_average": metrics.correlation_to_average,
    "single_trial_correlation": metrics.single_trial_correlation,
    "feve": metrics.feve,
    "r2_er": metrics.r2_er,
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def simulated(seed, images=30, repeats=6, units=3, noise=1.0, ragged=False):
    """Counts with Gaussian noise, a prediction that is partly right, and the true means."""
    draw = numpy_generator("metrics", seed)
    truth = draw.normal(3, 1, (images, units))
    counts = truth[:, None] + noise * draw.normal(size=(images, repeats, units))
    prediction = 0.6 * truth + 0.5 * draw.normal(size=truth.shape)
    if ragged:
        kept = draw.integers(1, repeats + 1, images)
        counts[np.arange(repeats) >= kept[:, None]] = np.nan
    return counts, prediction, truth


def calls(counts, prediction):
    results = {name: metric(counts) for name, metric in OF_COUNTS.items()}
    return results | {name: metric(counts, prediction) for name, metric in OF_BOTH.items()}


seeds = st.integers(0, 10**6)


@given(seed=seeds, ragged=st.booleans())
@settings(max_examples=20, deadline=None)
def test_correlations_agree_with_scipy_loops(seed, ragged):
    counts, prediction, _ = simulated(seed, ragged=ragged)
    average = metrics.correlation_to_average(counts, prediction)
    single = metrics.single_trial_correlation(counts, prediction)
    oracle = metrics.leave_one_out_oracle(counts)
    for unit in range(counts.shape[2]):
        trials = [row[np.isfinite(row)] for row in counts[:, :, unit]]
        means = [row.mean() for row in trials]
        assert average[unit] == pytest.approx(stats.pearsonr(means, prediction[:, unit])[0])
        pairs = [(x, p) for row, p in zip(trials, prediction[:, unit], strict=True) for x in row]
        assert single[unit] == pytest.approx(stats.pearsonr(*zip(*pairs, strict=True))[0])
        pairs = [(row[k], np.delete(row, k).mean()) for row in trials if len(row) > 1 for k in range(len(row))]
        assert oracle[unit] == pytest.approx(stats.pearsonr(*zip(*pairs, strict=True))[0])


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_variances_agree_with_the_published_formulas_for_equal_repeats(seed):
    counts, prediction, _ = simulated(seed)
    m, n, _ = counts.shape
    for unit in range(counts.shape[2]):
        r, p = counts[:, :, unit], prediction[:, unit]
        total, noise, y = r.var(ddof=1), r.var(axis=1, ddof=1).mean(), r.mean(1) - r.mean()
        mse = ((r - p[:, None]) ** 2).mean()
        x = p - p.mean()
        top = (x @ y) ** 2 - noise / n * (x @ x)
        bottom = (x @ x) * (y @ y) - noise / n * (m - 1) * (x @ x)
        assert metrics.explainable_variance(counts)[unit] == pytest.approx((total - noise) / total)
        assert metrics.feve(counts, prediction)[unit] == pytest.approx(1 - (mse - noise) / (total - noise))
        assert metrics.r2_er(counts, prediction)[unit] == pytest.approx(top / bottom)
        snr = (y.var() - (m - 1) / m * noise / n) / noise
        assert metrics.signal_to_noise(counts)[unit] == pytest.approx(snr)


@given(seed=seeds, gain=st.floats(0.01, 100), offset=st.floats(-100, 100), ragged=st.booleans())
@settings(max_examples=30, deadline=None)
def test_affine_invariance(seed, gain, offset, ragged):
    counts, prediction, _ = simulated(seed, ragged=ragged)
    plain = calls(counts, prediction)
    moved = calls(gain * counts + offset, gain * prediction + offset)
    for name, value in plain.items():
        np.testing.assert_allclose(moved[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
    for name in ("correlation_to_average", "single_trial_correlation", "r2_er"):  # the prediction alone may move
        np.testing.assert_allclose(OF_BOTH[name](counts, gain * prediction + offset), plain[name], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(metrics.r2_er(counts, -prediction), plain["r2_er"])


@given(seed=seeds, ragged=st.booleans())
@settings(max_examples=20, deadline=None)
def test_order_of_images_units_and_repeats_does_not_matter(seed, ragged):
    counts, prediction, _ = simulated(seed, ragged=ragged)
    draw = numpy_generator("order", seed)
    images, repeats, units = (draw.permutation(size) for size in counts.shape)
    plain = calls(counts, prediction)
    shuffled = calls(counts[images][:, repeats], prediction[images])
    by_unit = calls(counts[..., units], prediction[:, units])
    for name, value in plain.items():
        np.testing.assert_allclose(by_unit[name], value[units], err_msg=name)
        if name != "split_half_reliability":  # its halves are drawn by position
            np.testing.assert_allclose(shuffled[name], value, err_msg=name)


@given(seed=seeds, missing=st.sampled_from([np.nan, np.inf]))
@settings(max_examples=20, deadline=None)
def test_missing_images_repeats_and_predictions_are_ignored(seed, missing):
    counts, prediction, _ = simulated(seed, ragged=True)
    more = np.concatenate([counts, np.full_like(counts[:4], missing)])
    more = np.concatenate([more, np.full_like(more[:, :2], missing)], axis=1)
    plain = calls(counts, prediction)
    padded = calls(more, np.concatenate([prediction, prediction[:4]]))
    unpredicted = {
        name: metric(
            np.concatenate([counts, counts[:4]]), np.concatenate([prediction, np.full_like(prediction[:4], missing)])
        )
        for name, metric in OF_BOTH.items()
    }
    for name, value in plain.items():
        if name != "split_half_reliability":
            np.testing.assert_allclose(padded[name], value, err_msg=name)
        if name in OF_BOTH:
            np.testing.assert_allclose(unpredicted[name], value, err_msg=name)


def test_a_unit_with_its_own_missing_trials_is_as_if_alone():
    counts, prediction, _ = simulated(5, ragged=True)
    alone = calls(counts[..., :1], prediction[:, :1])
    counts[3, 0, 1] = counts[7, :, 2] = np.nan
    for name, value in calls(counts, prediction).items():
        np.testing.assert_allclose(value[:1], alone[name], err_msg=name)


@given(seed=seeds, noise=st.floats(0, 20), ragged=st.booleans())
@settings(max_examples=40, deadline=None)
def test_bounds(seed, noise, ragged):
    counts, prediction, _ = simulated(seed, images=8, repeats=3, noise=noise, ragged=ragged)
    for name, value in calls(counts, prediction).items():
        assert value.shape == (3,)
        assert value.dtype == np.float64
        finite = value[np.isfinite(value)]
        if "correlation" in name or "oracle" in name:
            assert (np.abs(finite) <= 1).all()
        if name in ("explainable_variance", "split_half_reliability"):
            assert (finite <= 1 + 1e-12).all()


def test_the_reliability_of_two_images_is_not_measurable():
    counts = np.array([[[1.0], [2.0]], [[5.0], [6.0]], [[3.0], [np.nan]]])
    assert np.isnan(metrics.split_half_reliability(counts, ("two",)))[0]
    counts[2, 1] = 3.5
    assert np.isfinite(metrics.split_half_reliability(counts, ("two",)))[0]


def test_constant_silent_and_empty_units_are_nan():
    counts, prediction, _ = simulated(1)
    counts[..., 0], counts[..., 1] = 0.1, np.nan
    prediction[:, 2] = 0.3
    for name, value in calls(counts, prediction).items():
        assert np.isnan(value[:2]).all(), name
    for name in ("correlation_to_average", "single_trial_correlation", "r2_er"):
        assert np.isnan(OF_BOTH[name](counts, prediction)[2]), name
    assert metrics.feve(counts, prediction)[2] < 0


def test_too_few_repeats_images_or_units():
    counts, prediction, _ = simulated(2, repeats=1)
    results = calls(counts, prediction)
    for name in [*OF_COUNTS, "feve", "r2_er"]:
        assert np.isnan(results[name]).all(), name
    assert np.isfinite(results["correlation_to_average"]).all()
    for shape in [(0, 4, 2), (1, 4, 2), (4, 0, 2)]:
        for name, value in calls(np.ones(shape), np.ones(shape[::2])).items():
            assert np.isnan(value).all() and value.shape == (2,), name
    assert all(value.shape == (0,) for value in calls(np.ones((5, 4, 0)), np.ones((5, 0))).values())


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        metrics.feve(np.ones((4, 3, 2)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="expected"):
        metrics.signal_to_noise(np.ones((4, 3)))


@given(x=st.lists(st.floats(-1e150, 1e150), min_size=3, max_size=20), seed=seeds)
@settings(max_examples=100, deadline=None)
def test_correlation_of_any_floats(x, seed):
    y = numpy_generator("y", seed).normal(size=len(x))
    value = metrics.correlation(x, y)
    assert np.isnan(value) or abs(value) <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = stats.pearsonr(x, y)[0]
    if np.ptp(x) > 1e-6 * np.abs(x).max() > 1e-100:
        assert value == pytest.approx(own, abs=1e-6)


def test_correlation_broadcasts_along_any_axis():
    x = np.random.default_rng(0).normal(size=(4, 50, 3))
    y = x[:1] + 1.0
    np.testing.assert_allclose(metrics.correlation(x, y, axis=1)[0], 1.0)
    assert metrics.correlation(x, y, axis=1).shape == (4, 3)
    assert metrics.correlation([1, 2, np.nan, 4], [2, 4, 9, np.inf]) == pytest.approx(1.0)
    assert np.isnan(metrics.correlation([1, 2, 3], [0.1, 0.1, 0.1]))


@pytest.mark.parametrize("ragged", [False, True])
def test_noise_corrected_scores_are_unbiased(ragged):
    draw = numpy_generator("unbiased")
    truth = draw.normal(3, 1, (240, 1))
    prediction = truth + 0.7 * draw.normal(size=truth.shape)
    counts = truth[:, None] + draw.normal(size=(240, 5, 1000))  # 1,000 units: one truth, independent noise
    if ragged:
        counts[np.arange(5) >= draw.integers(1, 6, 240)[:, None]] = np.nan
        seen = np.isfinite(counts[..., 0]).sum(1)
        weight = seen * (seen > 1)
    else:
        weight = np.full(240, 5)
    mean = np.average(truth[:, 0], weights=weight)
    error, signal = (np.average((truth[:, 0] - of) ** 2, weights=weight) for of in (prediction[:, 0], mean))
    prediction = np.tile(prediction, 1000)
    r2 = stats.pearsonr(truth[:, 0], prediction[:, 0])[0] ** 2
    found = metrics.r2_er(counts, prediction)
    assert found.mean() == pytest.approx(r2, abs=0.01)
    assert metrics.correlation_to_average(counts, prediction).mean() ** 2 < r2 - 0.04  # the bias that is corrected
    assert metrics.feve(counts, prediction).mean() == pytest.approx(1 - error / signal, abs=0.015)
    assert metrics.feve(counts, np.tile(truth, 1000)).mean() == pytest.approx(1, abs=0.01)
    assert metrics.signal_to_noise(counts).mean() == pytest.approx(truth.var(), abs=0.01)
    assert metrics.explainable_variance(counts).mean() == pytest.approx(signal / (signal + 1), abs=0.01)


def test_ragged_explainable_variance_with_poisson_noise():
    """Trials by image that grow with the rate: unweighted noise would be off, weighted noise is not."""
    draw = numpy_generator("poisson")
    rate = np.linspace(1, 9, 50)
    counts = draw.poisson(rate[:, None, None], (50, 10, 1000)).astype(float)
    seen = np.arange(50) // 6 + 2
    counts[np.arange(10) >= seen[:, None]] = np.nan
    prediction = np.tile(rate[:, None], 1000)
    assert metrics.feve(counts, prediction).mean() == pytest.approx(1, abs=0.005)


def test_split_half_reliability_is_that_of_the_repeat_mean():
    counts, _, truth = simulated(3, images=400, repeats=8, units=40)
    expected = truth.var(0) / (truth.var(0) + 1 / 8)
    found = metrics.split_half_reliability(counts, ("a", 1))
    np.testing.assert_allclose(found, expected, atol=0.03)
    np.testing.assert_array_equal(found, metrics.split_half_reliability(counts, ("a", 1)))
    assert (found != metrics.split_half_reliability(counts, ("a", 2))).any()
    np.testing.assert_array_equal(found[5:9], metrics.split_half_reliability(counts[..., 5:9], ("a", 1)))


def test_spearman_brown():
    np.testing.assert_allclose(metrics.spearman_brown([0, 0.5, 1]), [0, 2 / 3, 1])
    assert metrics.spearman_brown(metrics.spearman_brown(0.4, 3), 1 / 3) == pytest.approx(0.4)
    assert np.isnan(metrics.spearman_brown([-1.0, np.nan])).all()
