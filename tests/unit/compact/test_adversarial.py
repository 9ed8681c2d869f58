"""Adversarial images keep their norm and range, move what they climb, and more than random changes do."""

import numpy as np
import pytest
import torch
from torch import nn

from compact_nets import random_models
from v4egg.compact.adversarial import adversarial_images, other_phases, projected, random_changes
from v4egg.compact.maximizing import BLUR_EVERY, maximizing_images
from v4egg.errors import V4eggError
from v4egg.evaluation.adversarial import adversarial_experiment, carried_over, exceeds_random, movements
from v4egg.evaluation.judges import Judge
from v4egg.io import stores
from v4egg.seeding import torch_generator
from v4egg.synthesis.pixel_steps import rms

SIZE = 16


class Linear(nn.Module):
    """Units that weigh pixels by fixed weights: the best change is known."""

    def __init__(self, n=2, key="weights"):
        super().__init__()
        self.units = [f"s1-u{i:03d}" for i in range(n)]
        self.weights = torch.randn(n, 3, SIZE, SIZE, generator=torch_generator(key))

    def forward(self, images, units=None):
        weights = self.weights if units is None else self.weights[units]
        return torch.einsum("bchw,uchw->bu", images, weights)

    def paired(self, images, units):
        return (images * self.weights[torch.as_tensor(units)]).sum((1, 2, 3))


def natural(n=6, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(n, 3, SIZE, SIZE, generator=torch_generator("natural", n))


def test_a_linear_unit_gets_the_change_along_its_weights():
    models, images = Linear(), natural(4, 0.3, 0.7)
    units, signs = torch.tensor([0, 1, 0, 1]), torch.tensor([1.0, 1, -1, -1])
    made = adversarial_images(models, images, units, signs, 0.02, steps=5)
    weights = models.weights[units]
    expected = 0.02 * signs.view(-1, 1, 1, 1) * weights / rms(weights).view(-1, 1, 1, 1)
    torch.testing.assert_close(made - images, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [0.003, 0.3])
def test_changes_keep_epsilon_and_the_pixel_range(epsilon):
    models, images = random_models(["s1-u000", "s1-u001"], SIZE), natural()
    images[0], images[1] = 0, 1  # where the range holds half of the changes
    made = adversarial_images(models, images, torch.tensor([0, 1] * 3), torch.ones(6), epsilon, steps=3)
    assert made.min() >= 0
    assert made.max() <= 1
    assert (rms(made - images) <= epsilon * (1 + 1e-5)).all()
    assert (models.paired(made, [0, 1] * 3) >= models.paired(images, [0, 1] * 3) - 1e-6).all()
    change = projected(images, torch.randn_like(images), epsilon)
    assert (rms(change) <= epsilon * (1 + 1e-5)).all()


def test_random_changes_have_all_of_epsilon_after_clipping():
    images = natural()
    images[0] = 0
    noise = torch.randn(images.shape, generator=torch_generator("noise"))
    for epsilon in (0.01, 0.1):
        changed = images + random_changes(images, noise, epsilon)
        assert changed.min() >= 0
        assert changed.max() <= 1
        torch.testing.assert_close(rms(changed - images), torch.full((6,), epsilon), rtol=1e-3, atol=0)


def test_other_phases_keep_the_spectrum_and_nothing_else():
    change = torch.randn(1, 3, SIZE, SIZE, generator=torch_generator("change"))
    other = other_phases(change, torch.randn(1, 1, SIZE, SIZE, generator=torch_generator("phases")))
    torch.testing.assert_close(torch.fft.fft2(other).abs(), torch.fft.fft2(change).abs(), rtol=1e-3, atol=1e-3)
    assert abs(np.corrcoef(change.ravel(), other.ravel())[0, 1]) < 0.2


@pytest.fixture(scope="module")
def experiment():
    models, other = Linear(3), Linear(2, "other")
    other.weights = 0.5 * models.weights[:2] + 0.5 * other.weights  # half of it is shared; the third unit is unknown
    judges = [Judge("students", [models], True), Judge("attention", [other], False)]
    options = {"epsilons": [0.01, 0.02], "images": 2, "steps": 3, "draws": 3, "reference": 20}
    pool = (255 * natural(12, 0.2, 0.8)).to(torch.uint8).numpy()
    return adversarial_experiment(models, pool, judges, **options, seed=1), pool, options, models, judges


def test_the_experiment_is_a_store_and_tells_what_moved(experiment, tmp_path):
    data, pool, *_ = experiment
    stores.save(data, tmp_path / "a.zarr", "adversarial")
    assert np.array_equal(data["natural_image"].values, pool[data["position"].values])
    moved = movements(data)
    own = moved["adversarial"].isel(judge=0)
    assert (own > 0).all()
    np.testing.assert_allclose(own.sel(epsilon=0.02), 2 * own.sel(epsilon=0.01), rtol=1e-3)  # linear units
    above = exceeds_random(moved)
    assert (above["all"].isel(judge=0) == 1).all()
    assert (above["mean"].isel(judge=0) == 1).all()
    carried = carried_over(moved).isel(epsilon=-1)
    np.testing.assert_allclose(carried.isel(judge=0), 1)
    assert np.isnan(carried.sel(judge="attention", unit="s1-u002")).all()
    assert np.isnan(above["mean"].sel(judge="attention", unit="s1-u002")).all()
    natural_sd = data["natural_sd"].values
    expected = 0.5 * natural_sd[:2, :1] / natural_sd[:2, 1:]  # half of the weights carry all of the movement
    np.testing.assert_allclose(carried.sel(judge="attention").values[:2], np.repeat(expected, 2, 1), rtol=0.15)


def test_images_of_a_unit_do_not_depend_on_the_others(experiment):
    data, pool, options, models, _ = experiment
    fewer = Linear(1)
    fewer.weights = models.weights[2:]
    fewer.units = ["s1-u002"]
    alone = adversarial_experiment(fewer, pool, [Judge("students", [fewer], True)], **options, seed=1)
    for name in ("image", "rms", "position"):
        np.testing.assert_allclose(alone[name].values[0], data[name].values[2], atol=1e-6)
    np.testing.assert_allclose(alone["random"].values[0, ..., 0], data["random"].values[2, ..., 0], rtol=1e-4)


def test_maximizing_images_climb_and_are_kept_at_their_best():
    models = random_models(["s1-u000", "s1-u001"], SIZE)
    made = maximizing_images(models, models.units, SIZE, steps=BLUR_EVERY + 5, samples=2, seed=1)
    images, trajectory = torch.from_numpy(made["image"].values), made["activation"].values
    assert images.shape == (2, 2, 3, SIZE, SIZE)
    assert images.min() >= 0
    assert images.max() <= 1
    for unit in range(2):
        said = models(images[unit], [unit])[:, 0]
        np.testing.assert_allclose(said, trajectory[unit].max(-1), rtol=1e-4, atol=1e-4)
    assert (trajectory.max(-1) > trajectory[..., 0]).all()
    one = maximizing_images(models, models.units[1:], SIZE, steps=3, samples=1, seed=1)
    np.testing.assert_allclose(one["activation"].values[0, 0], trajectory[1, 0, :4], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_made_is_one_line(experiment):
    _, pool, options, models, judges = experiment
    with pytest.raises(V4eggError, match="40 images of 12 are wanted"):
        adversarial_experiment(models, pool, judges, **{**options, "images": 40}, seed=1)
    with pytest.raises(V4eggError, match="epsilon is 0"):
        adversarial_images(models, natural(1), torch.tensor([0]), torch.ones(1), 0, 1)
    broken = Linear()
    broken.weights[:] = float("nan")
    with pytest.raises(V4eggError, match="not finite"):
        maximizing_images(broken, broken.units, SIZE, steps=1)
