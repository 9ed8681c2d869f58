"""Energies compose; constraints keep what may be shown; perturbations do not depend on the batch."""

import pytest
import torch

from v4egg.energies import Excite, Jittered, L2Norm, PixelRange, chain
from v4egg.errors import V4eggError
from v4egg.seeding import torch_generator
from v4egg.stimuli import Preprocess


class Brightness(torch.nn.Module):
    """Unit u likes channel u."""

    def paired(self, images, units):
        return images.mean((2, 3))[torch.arange(len(images)), units]


def test_energies_add_and_scale():
    images = torch.rand(2, 3, 4, 4)
    red, blue = Excite(Brightness(), torch.tensor([0, 0])), Excite(Brightness(), torch.tensor([2, 2]))
    expected = -2 * images[:, 0].mean((1, 2)) - images[:, 2].mean((1, 2))
    total = 2 * red + blue
    assert torch.allclose(total(images), expected)
    assert total.evaluations == 2


def test_excite_wants_one_unit_an_image():
    with pytest.raises(V4eggError, match="3 images for 2 target units"):
        Excite(Brightness(), torch.tensor([0, 1]))(torch.rand(3, 3, 4, 4))


def test_jitter_is_per_image_not_per_batch():
    images = torch.rand(3, 3, 12, 12)

    class Corner(torch.nn.Module):
        def paired(self, images, units):
            return images[:, 0, 0, 0]

    def jittered(rows):
        energy = Excite(Corner(), torch.zeros(len(rows), dtype=torch.long))
        draws = [torch_generator("jitter", row) for row in rows]
        return Jittered(energy, draws, copies=5, shift=2, noise=0.1)(images[rows])

    together = jittered([0, 1, 2])
    assert torch.allclose(together, torch.cat([jittered([i]) for i in range(3)]))
    assert not torch.allclose(together, -images[:, 0, 0, 0])


def test_jitter_without_shift_and_noise_is_the_energy_itself():
    images = torch.rand(2, 3, 8, 8)
    energy = Excite(Brightness(), torch.tensor([0, 1]))
    same = Jittered(energy, [torch_generator(i) for i in range(2)], copies=3)
    assert torch.allclose(same(images), energy(images))
    assert same.evaluations == 3


def test_l2_norm_holds_per_image_in_z_scored_pixels():
    preprocess = Preprocess(8, 3, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    images = torch.rand(4, 3, 8, 8) * torch.tensor([0.1, 1, 2, 5]).view(-1, 1, 1, 1)
    scaled = L2Norm(7.0, preprocess)(images)
    assert torch.allclose(preprocess(scaled).flatten(1).norm(dim=1), torch.full((4,), 7.0), atol=1e-4)


def test_chain_applies_in_order():
    preprocess = Preprocess(8, 3, [0.5] * 3, [0.2] * 3)
    images = chain(L2Norm(60.0, preprocess), PixelRange())(torch.rand(2, 3, 8, 8))
    assert images.min() >= 0
    assert images.max() <= 1


def test_caution_takes_the_disagreement_of_members_off():
    class Two(torch.nn.Module):
        weights = torch.tensor([0.5, 0.5])

        def each_paired(self, images, units):
            bright = images.mean((1, 2, 3))
            return torch.stack([bright + units, 3 * bright + units])

    images = torch.rand(4, 3, 8, 8).requires_grad_()
    bright = images.detach().mean((1, 2, 3))
    energy = Excite(Two(), torch.arange(4), caution=0.5)(images)
    assert torch.allclose(energy, -(2 * bright + torch.arange(4) - 0.5 * bright), atol=1e-5)
    dark = torch.zeros(1, 3, 8, 8, requires_grad=True)  # the members agree: the root's gradient must be finite
    (gradient,) = torch.autograd.grad(Excite(Two(), torch.tensor([0]), caution=0.5)(dark).sum(), dark)
    assert torch.isfinite(gradient).all()
