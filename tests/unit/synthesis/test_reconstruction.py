"""Reconstruction: which images, from which responses, by the same energy and stopping rule, and how it is scored."""

import numpy as np
import pytest
import torch

from small_models import save_small_prior, small_ensemble
from v4egg.errors import V4eggError
from v4egg.evaluation.judges import Judge
from v4egg.evaluation.reconstruction_scores import OTHER, score_reconstructions
from v4egg.evaluation.transfer import join_architectures
from v4egg.images.processing import to_float
from v4egg.images.statistics import similarity
from v4egg.io import stores
from v4egg.priors.training import new_prior
from v4egg.recordings.responses import Responses
from v4egg.synthesis import reconstruction
from v4egg.synthesis.reconstruction import Targets, choose_targets, reconstruct

UNITS = [f"s1-u{i:03d}" for i in range(3)] + ["s2-u000"]
OPTIONS = {
    "energy_scale": 2.0,
    "energy_scale_recorded": 1.0,
    "steps": 6,
    "sampler": "ancestral",
    "guidance": "full",
    "own_norm": True,
    "descent_steps": 80,
    "learning_rate": 0.05,
    "blur": 1.0,
}


@pytest.fixture(scope="module")
def generators():
    return small_ensemble(UNITS, std=[0.25] * 3)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return save_small_prior(tmp_path_factory.mktemp("prior") / "prior.zarr")


def pictures(n=8):
    """Half-planes: some are bright above."""
    images = np.random.default_rng(0).integers(0, 80, (n, 3, 16, 16), dtype=np.uint8)
    images[::2, :, :8] += 150
    return images


def responses(counts=None):
    counts = np.random.default_rng(1).normal(size=(8, 1, 3)).astype(np.float32) if counts is None else counts
    ones = np.ones(3, np.float32)
    split = np.array(["train"] * 4 + ["test"] * 4)
    names = [f"i{i}" for i in range(8)]
    return Responses("s1", names, UNITS[:3], counts, split, ones, ones, 0 * ones, ones, np.array([True, False, True]))


def targets(n=3):
    counts = np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)
    return Targets([f"s1/i{i}" for i in range(n)], pictures(n), [UNITS[0], UNITS[2]], counts)


@pytest.fixture(scope="module")
def made(generators, prior):
    return reconstruct(generators, [targets()], **OPTIONS, prior=prior)


def test_targets_are_test_images_with_all_responses(generators):
    counts = np.ones((8, 1, 3), np.float32)
    counts[5, 0, 2] = np.nan  # a selected unit
    counts[6, 0, 1] = np.nan  # one that is not
    chosen = choose_targets(pictures(), responses(counts), generators, 5, seed=0)
    assert chosen.names == ["s1/i4", "s1/i6", "s1/i7"]
    assert np.array_equal(chosen.images, pictures()[[4, 6, 7]])
    assert chosen.units == [UNITS[0], UNITS[2]]
    few = choose_targets(pictures(), responses(counts), generators, 2, seed=0)
    assert set(few.names) < set(chosen.names)
    counts[4:] = np.nan
    with pytest.raises(V4eggError, match="session s1: no test image has the responses of 90%"):
        choose_targets(pictures(), responses(counts), generators, 2, seed=0)


def test_an_image_lacks_the_responses_of_few_units_at_most(generators, prior, monkeypatch):
    counts = np.ones((8, 1, 3), np.float32)
    counts[5, 0, 2], counts[6, 0] = np.nan, np.nan
    monkeypatch.setattr(reconstruction, "MIN_SHARE", 0.5)
    chosen = choose_targets(pictures(), responses(counts), generators, 5, seed=0)
    assert chosen.names == ["s1/i4", "s1/i5", "s1/i7"]
    assert np.isnan(chosen.recorded[1, 1])
    made = reconstruct(generators, [chosen], **{**OPTIONS, "steps": 2, "descent_steps": 2}, prior=prior)
    assert np.isfinite(made["training_error"]).all() and np.isfinite(made["reconstruction"]).all()


def test_descent_fits_as_well_as_guided_diffusion_and_stops_there(made):
    assert made["reconstruction"].shape == (2, 2, 3, 3, 16, 16)
    error = made["training_error"]
    guided, descended = (error.sel({"method": name}) for name in ("energy_guided", "gradient_descent"))
    spent = made["evaluations"].sel({"method": "gradient_descent"})
    assert (made["evaluations"].sel({"method": "energy_guided"}) == 6).all()
    assert ((descended < guided) | (spent == 80)).all()
    assert (spent < 80).any()


def test_training_error_is_the_distance_of_responses(made, generators):
    images = torch.from_numpy(made["reconstruction"].values)
    wanted = generators(to_float(pictures(3)))
    for m in range(2):
        predicted = (generators(images[0, m]) - wanted).square().mean(1)
        assert np.allclose(made["training_error"][0, m], predicted, rtol=1e-3, atol=1e-6)
        own = generators(images[1, m], torch.tensor([0, 2])) - torch.from_numpy(targets().recorded)
        assert np.allclose(made["training_error"][1, m], own.square().mean(1), rtol=1e-3, atol=1e-6)


def test_reconstructions_have_the_norm_of_their_image(made, generators):
    stimulus_spec = generators.members[0].stimulus_spec
    norm = stimulus_spec(to_float(pictures(3))).flatten(1).norm(dim=1)
    found = stimulus_spec(torch.from_numpy(made["reconstruction"].values[0, 0])).flatten(1).norm(dim=1)
    assert (found <= norm * 1.001).all()  # clipping takes some
    assert (found > 0.8 * norm).all()


def test_an_image_does_not_depend_on_the_others(made, generators, prior):
    whole = targets()
    last = Targets(whole.names[2:], whole.images[2:], whole.units, whole.recorded[2:])
    alone = reconstruct(generators, [last], **{**OPTIONS, "descent_steps": 1}, prior=prior)
    assert np.allclose(alone["reconstruction"].values[:, 0, 0], made["reconstruction"].values[:, 0, 2], atol=1e-5)


def test_scores_are_distances_to_the_true_image_and_chance(made, generators, tmp_path):
    judges = [Judge("generators", [generators], True), Judge("nobody", [], False)]
    scores = score_reconstructions(made, judges, UNITS)
    assert [*scores["method"].values] == ["energy_guided", "gradient_descent", OTHER]
    distance = scores["distance"].sel(judge="generators")
    assert np.allclose(distance.values[0, :2], made["training_error"].values[0], rtol=1e-3, atol=1e-6)
    wanted = generators(torch.from_numpy(made["true"].values)).numpy()
    between = ((wanted[1:] - wanted[:1]) ** 2).mean(1).mean()
    assert float(distance[0, 2, 0]) == pytest.approx(float(between), rel=1e-4)
    session = ((wanted[1:, :3] - wanted[:1, :3]) ** 2).mean(1).mean()  # recorded: the session's units alone
    assert float(distance[1, 2, 0]) == pytest.approx(float(session), rel=1e-4)
    assert scores["distance"].sel(judge="nobody").isnull().all()
    direct = similarity(made["reconstruction"].values[1, 0], made["true"].values)
    assert np.allclose(scores["similarity"].sel(measure="ssim")[1, 0], direct["ssim"])
    both = join_architectures({"a": scores, "b": scores.isel(judge=[0])})
    stores.save(both, tmp_path / "scores.zarr", "reconstruction_scores")
    stores.save(made, tmp_path / "made.zarr", "reconstruction")


def test_the_true_image_is_a_perfect_reconstruction(made, generators):
    perfect = made.copy()
    perfect["reconstruction"] = perfect["reconstruction"].copy(data=np.tile(made["true"].values, (2, 2, 1, 1, 1, 1)))
    scores = score_reconstructions(perfect, [Judge("generators", [generators], True)], UNITS)
    assert np.allclose(scores["distance"][:, :2], 0)
    assert np.allclose(scores["similarity"].sel(measure="ssim")[:, :2], 1)
    assert (scores["distance"][:, 2] > 0).all()


def test_a_prior_of_another_size_and_colour_is_bridged(generators, tmp_path):
    torch.manual_seed(0)
    new_prior({"size": 24, "channels": 1, "patch_size": 2, "widths": [32, 32], "layers": 1}).save(
        tmp_path / "prior.zarr"
    )
    options = {**OPTIONS, "steps": 3, "descent_steps": 2}
    made = reconstruct(generators, [targets(2)], **options, prior=tmp_path / "prior.zarr")
    assert made["reconstruction"].shape == (2, 2, 2, 3, 16, 16)
    images = torch.from_numpy(made["reconstruction"].values[0, 0])
    assert torch.allclose(images[:, 0], images[:, 2])  # grey
    error = (generators(images) - generators(to_float(pictures(2)))).square().mean(1)
    assert np.allclose(made["training_error"][0, 0], error, rtol=1e-3, atol=1e-6)
