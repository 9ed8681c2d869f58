"""Constraints hold what they promise for each image on its own, and let gradients through."""

import pytest
import torch

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, to_channels
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import Aperture, L2Norm, PixelRange, RMSContrast, chain


def pictures(count, channels=3, size=8):
    shape = count, channels, size, size
    return torch.rand(shape, generator=torch_generator("pictures"), dtype=torch.float64)


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


@pytest.mark.parametrize("channels", [1, 3])
def test_rms_contrast_holds_per_image_and_keeps_the_mean_colour(channels):
    images = pictures(4, channels) * torch.tensor([0.01, 0.1, 1, 3]).view(-1, 1, 1, 1)
    shown = RMSContrast(0.15)(images)
    deviation = to_channels(shown, 1).flatten(1).std(1, unbiased=False)
    assert torch.allclose(deviation, torch.full_like(deviation, 0.15))
    assert torch.allclose(shown.mean((2, 3)), images.mean((2, 3)))
    assert torch.allclose(RMSContrast(0.15)(shown), shown)
    assert torch.allclose(RMSContrast(0.15)(images[1:2]), shown[1:2])


def test_rms_contrast_leaves_uniform_images_alone():
    grey = torch.full((1, 3, 32, 32), 0.3, requires_grad=True)
    shown = RMSContrast(0.2)(grey)
    assert torch.allclose(shown, grey, atol=1e-3)
    assert torch.isfinite(torch.autograd.grad(shown.square().sum(), grey)[0]).all()


def test_aperture_shows_the_inside_and_hides_the_outside():
    images = pictures(2, size=21)
    window = Aperture.disc(21, (8, 12), radius=4, edge=3, background=0.25)
    row, column = torch.meshgrid(torch.arange(21), torch.arange(21), indexing="ij")
    distance = torch.hypot(row - 8.0, column - 12.0)
    shown, inside, outside = window(images), distance <= 4, distance >= 7
    assert torch.equal(shown[:, :, inside], images[:, :, inside])
    assert torch.allclose(shown[:, :, outside], torch.tensor(0.25, dtype=torch.float64))
    edge = window.mask[~inside & ~outside][distance[~inside & ~outside].argsort()]
    assert (edge > 0).all()
    assert (edge < 1).all()
    assert (edge.diff() <= 1e-6).all()
    assert window.mask[8, 12 + 5] == pytest.approx(0.75)  # raised cosine, a third of the way down


def test_aperture_without_an_edge_is_hard_and_applies_once():
    window = Aperture.disc(9, (4, 4), radius=2)
    assert set(window.mask.unique().tolist()) == {0.0, 1.0}
    assert window.mask.sum() == 13
    images = pictures(2, size=9)
    assert torch.equal(window(window(images)), window(images))


def test_aperture_takes_a_mask_an_image():
    images = pictures(2)
    masks = torch.zeros(2, 8, 8)
    masks[0, :4], masks[1, 4:] = 1, 1
    both = Aperture(masks)(images)
    assert torch.equal(both[1:], Aperture(masks[1])(images[1:]))
    assert (both[0, :, 4:] == 0.5).all()


def test_norm_counts_only_what_the_aperture_shows():
    preprocess = Preprocess(8, 3, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    window = Aperture.disc(8, (3, 4), radius=2, background=preprocess.mean)
    shown = preprocess(chain(window, L2Norm(3.0, preprocess))(pictures(3).float()))
    assert torch.allclose(shown.flatten(1).norm(dim=1), torch.full((3,), 3.0), atol=1e-4)
    assert shown[..., window.mask == 0].abs().max() < 1e-5


@pytest.mark.parametrize("constraint", [RMSContrast(0.1), Aperture.disc(4, (1, 2), 1, 1.5)])
def test_gradients_are_those_of_finite_differences(constraint):
    images = pictures(2, size=4).requires_grad_()
    assert torch.autograd.gradcheck(chain(constraint, PixelRange()), images)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RMSContrast(0.0), "contrast is 0.0"),
        (lambda: Aperture(torch.ones(8)), r"mask of shape \(8,\)"),
        (lambda: Aperture(torch.full((8, 8), 2.0)), r"within \[0, 1\]"),
        (lambda: Aperture(torch.ones(7, 8)), r"shape \(7, 8\) for images of shape \(2, 3, 8, 8\); give \(8, 8\)"),
        (lambda: Aperture(torch.ones(3, 8, 8)), r"give \(2, 8, 8\)"),
        (lambda: Aperture.disc(8, (4, 4), radius=0), "radius 0"),
    ],
)
def test_wrong_arguments_are_one_line(make, words):
    with pytest.raises(V4eggError, match=words) as error:
        make()(pictures(2))
    assert "\n" not in str(error.value)
