"""Gradient ascent climbs, and each of its options does what it says: norm, blur, decay, transparency, view and goal."""

import pytest
import torch
from torch import nn

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, blur
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import L2Norm, PixelRange, chain
from v4egg.synthesis.energies import Excite, MatchResponse
from v4egg.synthesis.gradient_ascent import gradient_ascent


class Filters(nn.Module):
    """Unit u responds to the match of the image with filter u."""

    def __init__(self):
        super().__init__()
        self.filters = torch.randn(4, 3, 16, 16, generator=torch_generator("filters"))

    def paired(self, images, units):
        return (images * self.filters[units]).sum((1, 2, 3))

    def forward(self, images, units=None):
        return torch.einsum("bcyx,ucyx->bu", images, self.filters if units is None else self.filters[units])


def preprocess():
    return Preprocess(16, 3, [0.5] * 3, [0.2] * 3)


def ascend(units, names=None, **options):
    energy = Excite(Filters(), torch.tensor(units))
    draws = [torch_generator("ga", name) for name in names or units]
    constraint = chain(L2Norm(8.0, preprocess()), PixelRange())
    options = {"steps": 30, "learning_rate": 1.0, "constraint": constraint, **options}
    return gradient_ascent(energy, draws, preprocess(), **options)


def test_gradient_ascent_finds_the_filter_at_the_given_norm():
    made = ascend([0, 3], steps=100)
    z = preprocess()(made.images)
    assert torch.allclose(z.flatten(1).norm(dim=1), torch.full((2,), 8.0), atol=0.1)
    assert (made.trajectory[:, -1] < made.trajectory[:, 0]).all()
    best = blur(Filters().filters[[0, 3]], 1.0)
    match = torch.cosine_similarity(z.flatten(1), best.flatten(1))
    assert (match > 0.7).all()
    assert made.evaluations == 100


def test_batches_of_one_and_of_32_make_the_same_images():
    units, names = [i % 4 for i in range(32)], list(range(32))
    together = ascend(units, names, steps=10)
    for i in (0, 13, 31):
        alone = ascend(units[i : i + 1], names[i : i + 1], steps=10)
        assert torch.allclose(alone.images, together.images[i : i + 1], atol=1e-5)


def test_weight_decay_shrinks_what_no_gradient_holds():
    draws, options = [torch_generator("decay")], {"learning_rate": 2.0, "weight_decay": 0.05, "steps": 3}
    made = gradient_ascent(
        lambda images: 0 * images.sum((1, 2, 3)), draws, preprocess(), constraint=lambda images: images, **options
    )
    start = torch.randn((1, 3, 16, 16), generator=torch_generator("decay"))
    expected = preprocess().invert(start * (1 - 2.0 * 0.05) ** 3).clamp(0, 1)
    assert torch.allclose(made.images, expected, atol=1e-5)


def test_more_smoothing_of_the_gradient_makes_smoother_images():
    def roughness(smoothing):
        images = ascend([0], steps=60, smoothing=smoothing).images
        return float((images[..., 1:] - images[..., :-1]).square().mean() / images.var())

    rough, middle, smooth = (roughness(sigma) for sigma in (0.0, 1.0, 3.0))
    assert rough > 1.5 * middle > 1.5 * 1.5 * smooth


def descend(rows, goal=None, steps=200):
    """Towards the responses of images, with a view: blurred and brought to a norm."""
    target = torch.rand(3, 3, 16, 16, generator=torch_generator("targets"))[rows]
    stimulus_spec = preprocess()
    norm = stimulus_spec(target).flatten(1).norm(dim=1)
    view = chain(lambda images: blur(images, 1.0), L2Norm(norm, stimulus_spec))
    draws = [torch_generator("gd", row) for row in rows]
    energy = MatchResponse(Filters(), Filters()(target))
    options = {"learning_rate": 0.05, "smoothing": 0.0, "constraint": PixelRange(), "view": view, "goal": goal}
    return gradient_ascent(energy, draws, stimulus_spec, steps=steps, **options)


def test_descent_stops_an_image_where_it_reaches_its_goal_and_goes_on_with_the_others():
    free = descend([0, 1, 2])
    assert (free.trajectory[:, -1] < 0.1 * free.trajectory[:, 0]).all()
    goal = torch.stack([free.trajectory[0, 5:7].mean(), free.trajectory[1, 10:12].mean(), torch.tensor(-1.0)])
    stopped = descend([0, 1, 2], goal)
    taken = stopped.evaluations
    assert taken[0] < taken[1] < taken[2] == 200
    for row in (0, 1):
        assert stopped.energies[row] < goal[row]
        assert torch.isclose(stopped.energies[row], free.trajectory[row, taken[row] - 1], rtol=1e-4)
        assert free.trajectory[row, : taken[row] - 1].min() >= goal[row]
    assert torch.allclose(stopped.images[2], free.images[2], atol=1e-5)
    assert torch.allclose(descend([1], goal[1:2]).images, stopped.images[1:2], atol=1e-5)
    assert len(descend([0], goal[:1]).trajectory[0]) == taken[0]


def window():
    """A unit that sees only the left half of images, at z-scores."""
    filters = torch.randn(3, 16, 16, generator=torch_generator("window")) * (torch.arange(16) < 8)
    return blur(filters[None], 1.0)[0], lambda images: -((images - 0.5) * filters).sum((1, 2, 3))


def faded(rows, price, steps=60):
    draws, constraint = [torch_generator("fade", row) for row in rows], chain(L2Norm(8.0, preprocess()), PixelRange())
    options = {"steps": steps, "learning_rate": 1.0, "constraint": constraint, "transparency": price}
    return gradient_ascent(window()[1], draws, preprocess(), **options)


def test_transparency_leaves_opaque_what_the_energy_needs():
    plain, made = faded([0, 1], 0.0), faded([0, 1], 0.5)
    assert plain.opacity is None
    assert made.opacity.shape == (2, 1, 16, 16)
    assert made.opacity.min() >= 0
    assert (made.opacity.amax((1, 2, 3)) == 1).all()
    needed, spared = made.opacity[..., :7], made.opacity[..., 10:]
    assert (needed.mean((1, 2, 3)) > spared.mean((1, 2, 3)) + 0.2).all()
    z, before = preprocess()(made.images), preprocess()(plain.images)
    assert z[..., 10:].abs().mean() < 0.2 * before[..., 10:].abs().mean()
    assert torch.allclose(z.flatten(1).norm(dim=1), torch.full((2,), 8.0), atol=0.5)
    assert (made.energies < 0.8 * plain.energies).all()


def test_no_transparent_image_depends_on_its_batch():
    together = faded([0, 1], 0.5, steps=10)
    alone = faded([1], 0.5, steps=10)
    assert torch.allclose(together.images[1:], alone.images, atol=1e-5)
    assert torch.allclose(together.opacity[1:], alone.opacity, atol=1e-5)
    with pytest.raises(V4eggError, match="transparency is -1"):
        faded([0], -1.0)
