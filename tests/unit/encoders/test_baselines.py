"""Baselines: they learn what they can express, choose on validation images, and know no test image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from v4egg.encoders import baseline_fits, baselines
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.priors.training import new_prior
from v4egg.recordings.responses import Responses
from v4egg.stats import metrics

N, UNITS = 120, 3


def make_responses(counts, selected=None):
    mean = np.nanmean(counts, (0, 1)).astype(np.float32)
    n = counts.shape[2]
    return Responses(
        session="s1",
        image_ids=[f"i{k}" for k in range(len(counts))],
        units=[f"s1-u{i:03d}" for i in range(n)],
        counts=counts.astype(np.float32),
        split=np.array(["train"] * 60 + ["validation"] * 20 + ["test"] * (len(counts) - 80)),
        reliability=np.ones(n, np.float32),
        signal_to_noise=np.ones(n, np.float32),
        mean_count=mean,
        sd_count=np.nanstd(counts.mean(1), 0).astype(np.float32),
        selected=np.ones(n, bool) if selected is None else np.array(selected),
    )


@pytest.fixture
def linear():
    """Features (image, 8) and responses that are linear in them, with a little noise."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(N, 8)) * np.arange(1, 9) + 5
    drive = features @ generator.normal(size=(8, UNITS))
    counts = drive[:, None] + 0.05 * drive.std() * generator.normal(size=(N, 2, UNITS))
    return features, make_responses(counts)


def on_test(prediction, responses):
    rows = responses.images_of("test")
    return metrics.correlation(prediction[rows], responses.zscored()[rows][:, responses.selected])


def test_ridge_finds_a_linear_map_and_the_features_that_hold_it(linear):
    features, responses = linear
    noise = np.random.default_rng(1).normal(size=(N, 50))
    prediction, chosen = baseline_fits.ridge(
        {"noise": noise, "signal": features}, baseline_fits.make_problem(responses)
    )
    assert (on_test(prediction, responses) > 0.98).all()
    assert chosen.startswith("signal, strength")


def test_what_was_not_recorded_has_no_weight(linear):
    features, whole = linear
    x = baseline_fits.principal_coordinates(features, np.arange(80))
    counts = whole.counts.copy()
    counts[10:40, :, 1], counts[40:80:3, 1, 2] = np.nan, np.nan
    responses = replace(whole, counts=counts)
    problem, rows = baseline_fits.make_problem(responses), np.arange(80)
    found = baseline_fits._predicted(x, problem, 1.0, rows, np.arange(N))
    target = responses.zscored()
    np.testing.assert_allclose(found[:, 0], Ridge(1.0).fit(x[:80], target[:80, 0], [2] * 80).predict(x), atol=1e-5)
    kept = np.setdiff1d(rows, np.arange(10, 40))
    alone = Ridge(1.0).fit(x[kept], target[kept, 1], sample_weight=[2] * len(kept))
    np.testing.assert_allclose(found[:, 1], alone.predict(x), atol=1e-5)
    for predict in (
        lambda: baseline_fits.ridge({"": features}, problem),
        lambda: baseline_fits.linear_nonlinear(features, problem),
    ):
        assert (on_test(predict()[0], whole) > 0.95).all()


def test_a_unit_without_train_responses_is_predicted_by_its_mean(linear):
    features, whole = linear
    counts = whole.counts.copy()
    counts[:60, :, 0] = np.nan
    problem = baseline_fits.make_problem(replace(whole, counts=counts))
    found = baseline_fits._predicted(features, problem, 1.0, problem.train, np.arange(N))
    assert (found[:, 0] == 0).all() and (found[:, 1] != 0).all()


def test_nothing_of_the_test_images_enters(linear):
    features, responses = linear
    before, _ = baseline_fits.linear_nonlinear(features, baseline_fits.make_problem(responses))
    rest = responses.images_of("test")[1:]
    responses.counts[rest] = 99
    features[rest] = -7
    after, _ = baseline_fits.linear_nonlinear(features, baseline_fits.make_problem(responses))
    kept = np.setdiff1d(np.arange(N), rest)
    assert np.allclose(before[kept], after[kept])


def test_the_nonlinearity_gains_where_there_is_one(linear):
    features, responses = linear
    drive = responses.zscored()
    rectified = make_responses(np.maximum(drive, 0.3)[:, None])
    problem = baseline_fits.make_problem(rectified)
    bent, _ = baseline_fits.linear_nonlinear(features, problem)
    straight, _ = baseline_fits.ridge({"": features}, problem)
    assert (on_test(bent, rectified) > on_test(straight, rectified)).all()
    assert (on_test(bent, rectified) > 0.9).all()


def test_softplus_rises_even_for_a_unit_that_falls():
    x = np.random.default_rng(2).normal(size=(50, 2))
    curve = baseline_fits.fit_softplus(x, -x, np.ones((50, 2)))
    grid = np.linspace(-4, 4, 30)[:, None] * np.ones(2)
    assert (np.diff(curve(grid), axis=0) > 0).all()


def test_principal_coordinates_keep_the_products_of_standardised_features():
    features = np.random.default_rng(3).normal(size=(20, 300)).astype(np.float32) * 4 + 9
    features[:, 7] = 1  # a constant feature counts for nothing
    fit = np.arange(12)
    standard = (features - features[fit].mean(0)) / np.maximum(features[fit].std(0), 1e-3) / np.sqrt(300)
    found = baseline_fits.principal_coordinates(features, fit)
    assert found.shape == (20, 11)
    assert np.allclose(found @ found[fit].T, standard @ standard[fit].T, atol=1e-4)


def test_shuffled_keeps_each_split_and_predicts_nothing(linear):
    _, responses = linear
    prediction = responses.zscored()
    found = baselines.shuffled(prediction, responses, seed=1)
    for split in ("train", "test"):
        rows = responses.images_of(split)
        assert np.array_equal(np.sort(found[rows], 0), np.sort(prediction[rows], 0))
    assert (np.abs(on_test(found, responses)) < 0.6).all()
    assert np.array_equal(found, baselines.shuffled(prediction, responses, seed=1))
    assert not np.array_equal(found, baselines.shuffled(prediction, responses, seed=2))


@pytest.fixture
def pictures():
    """Images of random brightness, a small untrained prior, and units that count brightness; one is not selected."""
    generator = np.random.default_rng(4)
    level = generator.uniform(30, 200, (N, 1, 1, 1))
    images = np.clip(level + generator.normal(0, 20, (N, 3, 20, 20)), 0, 255).astype(np.uint8)
    counts = level[:, 0] / 20 + generator.normal(0, 0.5, (N, 2, UNITS))
    counts[::7, 1] = np.nan  # not every image was repeated
    torch.manual_seed(0)
    options = {"size": 16, "channels": 3, "patch_size": 2, "widths": [16, 32], "layers": 1}
    responses = make_responses(np.where(np.isnan(counts), np.nan, counts), (True, False, True))
    responses.sd_count = np.nanstd(responses.mean(), 0)
    return images, responses, new_prior(options).eval()


def test_all_baselines_together_are_a_store_in_counts(pictures, tmp_path):
    images, responses, prior = pictures
    found = baselines.fit_baselines(["shuffled", "ln", "ridge"], images, responses, prior=prior, seed=1)
    assert list(found["unit"].values) == ["s1-u000", "s1-u002"]
    stores.save(found, tmp_path / "b.zarr", "baselines")
    prediction = stores.load(tmp_path / "b.zarr", "baselines")["prediction"]
    for name in ("ln", "ridge"):
        values = prediction.sel(baseline=name).values
        assert (on_test(values, responses) > 0.8).all()
        assert np.allclose(values.mean(0), responses.mean_count[[0, 2]], rtol=0.1)
    assert prediction.shape == (3, N, 2)
    assert "ln: strength" in found.attrs["chosen"]


def test_denoiser_features_do_not_depend_on_the_batch_and_leave_no_hook(pictures):
    images, _, prior = pictures
    one, other = (baselines.denoiser_features(prior, images[:5], batch) for batch in (2, 5))
    assert set(one) == {"down block 0", "down block 1", "middle block", "up block 0", "up block 1"}
    assert all(np.allclose(one[name], other[name], atol=1e-4) for name in one)
    assert one["down block 0"].shape == (5, 16 * 7 * 7)
    assert not any(module._forward_hooks for module in prior.modules())


def test_errors_name_the_key(pictures):
    images, responses, prior = pictures
    with pytest.raises(V4eggError, match=r"baseline 'lasso' is unknown; known: ridge"):
        baselines.fit_baselines(["lasso"], images, responses, prior=prior)
    with pytest.raises(V4eggError, match=r"need the prior; give prior\.zarr"):
        baselines.fit_baselines(["ridge"], images, responses)
    assert baselines.fit_baselines(["ln"], images, responses)["prediction"].sizes["baseline"] == 1
