"""Refitted weights: ridge regression on what attention picks, by the textbook, and better where images are few."""

import numpy as np
import pytest
import torch

from tiny_timm import ARCHITECTURE, OPTIONS, features_of, session, timm  # noqa: F401 - timm is a fixture
from v4egg import load_encoder
from v4egg.encoders import refit
from v4egg.encoders.encoder import load_member
from v4egg.encoders.refit import refitted
from v4egg.encoders.training import train_member, validation_correlation
from v4egg.errors import V4eggError

PLAIN = {
    "core": {"name": "residual", "channels": 8, "blocks": 1},
    "readout": {"name": "attention", "dim": 8, "heads": 2},
}


def data_with_features():
    data = session()
    data.features = features_of(data.images)
    return data


@pytest.mark.parametrize("architecture", [ARCHITECTURE, PLAIN], ids=["frozen network", "data-driven, two heads"])
def test_places_stay_and_weights_are_the_ridge_solution(architecture, monkeypatch):
    monkeypatch.setattr(refit, "PENALTIES", (0.7,))
    data = data_with_features() if architecture is ARCHITECTURE else session()
    data.trials = np.random.default_rng(0).integers(0, 4, data.trials.shape).astype(np.float32)
    trained, _ = train_member([data], architecture, {**OPTIONS, "epochs": 2}, seed=0)
    made = refitted(trained, [data])
    images = torch.from_numpy(data.images).float() / 255
    with torch.no_grad():
        inputs = torch.from_numpy(data.features[:, 0]).float() if data.features is not None else made.inputs(images)
        maps = made.maps(inputs)
        picked = made.readout.attended_features(maps)[:, 1].flatten(1).double().numpy()  # of unit 1
        ours = made.respond(maps)[:, 1].double().numpy()
        before = 0.75 * trained.respond(trained.maps(inputs))[:, 1].double().numpy()
    if architecture is ARCHITECTURE:
        assert torch.equal(maps[:, 8:], inputs)
        assert torch.allclose(maps[:, :8], trained.maps(inputs), atol=1e-6)
    train, weight = data.train, data.trials[data.train, 1] / data.trials[data.train, 1].sum()
    mean = weight @ picked[train]
    z = (picked - mean) / np.sqrt(weight @ (picked[train] - mean) ** 2)
    left = data.target[train, 1] - before[train]
    level = weight @ left
    gram = z[train].T @ (weight[:, None] * z[train]) + 0.7 * np.eye(z.shape[1])
    solution = np.linalg.solve(gram, z[train].T @ (weight * (left - level)))
    assert np.allclose(ours, before + z @ solution + level, atol=1e-3)


def test_attention_is_that_of_the_trained_readout():
    trained, _ = train_member([session()], PLAIN, {**OPTIONS, "epochs": 2}, seed=0)
    made = refitted(trained, [session()])
    maps = trained.features(torch.rand(3, 3, 16, 16))
    keys, _ = trained.readout._keys_values(maps)
    query = trained.readout.query.unflatten(-1, (2, -1)) * trained.readout.scale
    expected = torch.einsum("bshd,nhd->bnhs", keys, query).softmax(-1)
    tokens = maps.flatten(2).transpose(1, 2) + trained.readout.position
    picked = torch.einsum("bnhs,bsc->bnhc", expected, tokens)
    assert torch.allclose(made.readout.attended_features(maps), picked, atol=1e-5)
    units = torch.tensor([1, 0, 1])
    assert torch.allclose(made.respond_paired(maps, units), made.respond(maps)[torch.arange(3), units], atol=1e-5)


def test_the_penalty_that_validation_prefers_is_taken():
    """Of pure noise nothing can be learned but the mean, which the largest penalty comes closest to."""
    noise, data = np.random.default_rng(0), data_with_features()
    trained, _ = train_member([data], ARCHITECTURE, {**OPTIONS, "epochs": 4}, seed=0)
    learned = refitted(trained, [data])
    assert validation_correlation(learned, [data]) > 0.9
    data.target = noise.standard_normal(data.target.shape).astype(np.float32)
    data.target[data.validation] = session().target[data.validation]
    assert refitted(trained, [data]).readout.weight.abs().sum() < learned.readout.weight.abs().sum() / 2


def test_groups_are_refitted_each_and_stored(tmp_path):
    data, other = data_with_features(), data_with_features()
    other.session, other.units = "s2", ["s2-u000", "s2-u001"]
    architecture = {**ARCHITECTURE, "core_groups": {"own": ["s1"]}}
    trained, _ = train_member([data, other], architecture, {**OPTIONS, "epochs": 1}, seed=0)
    made = refitted(trained, [data, other])
    made.save(tmp_path / "m0.zarr", arch="again", member="m0", role="generator", trained_as="first")
    loaded, images = load_encoder(tmp_path / "m0.zarr"), torch.rand(2, 3, 16, 16)
    assert torch.allclose(loaded(images), made(images), atol=1e-5)
    assert load_member(tmp_path / "m0.zarr").trained_as == "first"
    assert validation_correlation(made, [data, other]) > validation_correlation(trained, [data, other])


def test_other_readouts_and_counts_are_refused():
    gaussian, _ = train_member(
        [session()], {**PLAIN, "readout": {"name": "gaussian"}}, {**OPTIONS, "epochs": 1}, seed=0
    )
    with pytest.raises(V4eggError, match="refit needs an attention readout trained with loss mse, not gaussian"):
        refitted(gaussian, [session()])
    counts, _ = train_member([session()], PLAIN, {**OPTIONS, "epochs": 1, "loss": "poisson"}, seed=0)
    with pytest.raises(V4eggError, match=r"not attention with output elu\+1"):
        refitted(counts, [session()])


def test_a_core_that_has_the_frozen_channels_beside_it_already():
    data = data_with_features()
    core = {**ARCHITECTURE["core"], "concat_backbone": True}
    trained, _ = train_member([data], {**ARCHITECTURE, "core": core}, {**OPTIONS, "epochs": 2}, seed=0)
    made = refitted(trained, [data])
    assert made.readout.key_channels == made.readout.weight.shape[-1] == 8 + 12
    assert validation_correlation(made, [data]) > validation_correlation(trained, [data])
