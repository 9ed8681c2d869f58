"""Priors: the denoiser's algebra, training that learns and resumes, weights through stores, sampling per generator."""

import json

import numpy as np
import pytest
import torch

from v4egg import load_prior
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.training import new_prior, sample, train_prior
from v4egg.seeding import torch_generator

OPTIONS = {
    "size": 16,
    "channels": 3,
    "patch_size": 2,
    "widths": [32, 32],
    "layers": 1,
    "steps": 6,
    "batch_size": 8,
    "learning_rate": 1e-3,
}


def pool(n=32):
    """Half-planes of random colours: something to learn."""
    generator = np.random.default_rng(0)
    images = np.zeros((n, 3, 16, 16), np.uint8)
    images[:, :, :8] = generator.integers(0, 255, (n, 3, 1, 1))
    images[:, :, 8:] = generator.integers(0, 255, (n, 3, 1, 1))
    return images


def test_clean_inverts_the_noising_for_every_prediction_type():
    prior = new_prior(OPTIONS)
    clean, noise = torch.rand(2, 3, 16, 16), torch.randn(2, 3, 16, 16)
    time = torch.tensor([100, 800])
    scheduler = prior.scheduler()
    noisy = scheduler.add_noise(clean, noise, time)
    outputs = {
        "v_prediction": scheduler.get_velocity(clean, noise, time),
        "epsilon": noise,
        "sample": clean,
    }
    for kind, output in outputs.items():
        prior._reference.register_to_config(prediction_type=kind)
        assert torch.allclose(prior.clean(noisy, output, time), clean, atol=1e-4)


def test_shapes_are_checked():
    with pytest.raises(V4eggError, match="takes images of shape"):
        new_prior(OPTIONS).denoise(torch.rand(1, 1, 16, 16), 3)
    with pytest.raises(V4eggError, match="size 18 is not divisible by 4"):
        new_prior({**OPTIONS, "size": 18})
    with pytest.raises(V4eggError, match="steps is 2000"):
        new_prior(OPTIONS).scheduler(2000)


def test_training_lowers_the_loss(monkeypatch):
    monkeypatch.setattr("v4egg.priors.steps.CURVE_EVERY", 20)
    _, curves = train_prior(pool(), {**OPTIONS, "steps": 60, "learning_rate": 3e-3}, seed=0)
    assert len(curves["loss"]) == 3
    assert curves["loss"][-1] < 0.8 * curves["loss"][0]


def test_killed_training_resumes_to_the_same_weights(killed_at, tmp_path, monkeypatch):
    monkeypatch.setattr("v4egg.priors.steps.SAVE_EVERY", 2)
    whole, _ = train_prior(pool(), OPTIONS, seed=3)
    checkpoint = Checkpoint(tmp_path, {})

    with pytest.raises(KeyboardInterrupt):
        train_prior(pool(), OPTIONS, seed=3, checkpoint=checkpoint, progress=killed_at(5))
    again, _ = train_prior(pool(), OPTIONS, seed=3, checkpoint=checkpoint)
    pairs = zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_non_finite_loss_names_the_step():
    with pytest.raises(V4eggError, match=r"at step \d+; lower prior.learning_rate"):
        train_prior(pool(), {**OPTIONS, "learning_rate": 1e30}, seed=0)


def test_prior_through_a_store_samples_alike_and_per_generator(tmp_path):
    prior, curves = train_prior(pool(), OPTIONS, seed=0)
    prior.save(tmp_path / "prior.zarr", curves=curves)
    loaded = load_prior(tmp_path / "prior.zarr")
    assert loaded.shape == (3, 16, 16)
    assert not any(p.requires_grad for p in loaded.parameters())
    loaded.float()
    prior.requires_grad_(False)
    noisy = torch.randn(2, 3, 16, 16)
    atol = 0.02  # the store's prior was rounded to bf16 where that is fast
    assert torch.allclose(loaded.denoise(noisy, 500), prior.denoise(noisy, 500), atol=atol)
    together = sample(prior, [torch_generator(i) for i in range(3)], steps=4)
    alone = torch.cat([sample(prior, [torch_generator(i)], steps=4) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_weights_of_something_else_are_refused(tmp_path):
    stores.save_weights({"a": torch.zeros(2)}, tmp_path / "w.zarr")
    with pytest.raises(V4eggError, match="not those of a prior"):
        load_prior(tmp_path / "w.zarr")


def test_weights_of_another_architecture_name_the_store_and_both_shapes(tmp_path):
    attrs = {"prior": json.dumps(new_prior(OPTIONS).spec())}
    other = new_prior({**OPTIONS, "widths": [32, 64]}).unet.state_dict()
    stores.save_weights(other, tmp_path / "w.zarr", attrs=attrs)
    with pytest.raises(V4eggError, match=r"w\.zarr: weights of another architecture \(size mismatch .*64.*32") as error:
        load_prior(tmp_path / "w.zarr")
    assert "\n" not in str(error.value)
