"""Energies compose, have the right gradient, and do not depend on the batch; nor do perturbations."""

import pytest
import torch

from v4egg.errors import V4eggError
from v4egg.seeding import torch_generator
from v4egg.synthesis.diversity import Differ, Diverse
from v4egg.synthesis.energies import Depress, Excite, ExciteSparing, MatchResponse
from v4egg.synthesis.jitter import Jittered


class Brightness(torch.nn.Module):
    """Unit u likes channel u."""

    def paired(self, images, units):
        return images.mean((2, 3))[torch.arange(len(images)), units]


class Linear(torch.nn.Module):
    """Unit u responds to the match of the image (3, 4, 4) with filter u; counts the images that it sees."""

    def __init__(self, units=5):
        super().__init__()
        self.filters = torch.randn(units, 3, 4, 4, generator=torch_generator("filters"), dtype=torch.float64)
        self.seen = 0

    def forward(self, images, units=None):
        self.seen += len(images)
        return torch.einsum("bcyx,ucyx->bu", images, self.filters if units is None else self.filters[units])

    def paired(self, images, units):
        return self(images).gather(1, units[:, None]).squeeze(1)


def pictures(*shape, key="pictures"):
    return torch.rand(*shape, 3, 4, 4, generator=torch_generator(key), dtype=torch.float64)


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
        return Jittered(energy, draws, copies=5, shift=2, noise=0.1, scale=0.2, patch=0.3)(images[rows])

    together = jittered([0, 1, 2])
    assert torch.allclose(together, torch.cat([jittered([i]) for i in range(3)]))
    assert not torch.allclose(together, -images[:, 0, 0, 0])


def copies_of(image, n=40, **options):
    """What the energy sees of one image (c, y, x)."""
    seen = []

    def energy(images):
        seen.append(images[0])
        return images.sum((1, 2, 3))

    energy.evaluations = 1
    image = image[None].requires_grad_()
    Jittered(energy, [torch_generator("copies")], n, **options)(image).sum().backward()
    assert torch.isfinite(image.grad).all()
    assert image.grad.abs().sum() > 0
    return torch.stack(seen).detach()


def test_a_patch_hides_a_part_of_every_copy_under_the_mean():
    image = torch.rand(3, 10, 10)
    copies = copies_of(image, patch=0.4)
    hidden = (copies != image).all(1)
    assert (hidden.sum((1, 2)) == 16).all()
    assert len({tuple(map(tuple, h.nonzero().tolist())) for h in hidden}) > 5
    for copy, h in zip(copies, hidden, strict=True):
        assert torch.allclose(copy[:, h], image.mean((1, 2))[:, None].expand(3, 16), atol=1e-6)


def test_zoom_keeps_the_middle_and_changes_the_size_of_things():
    image = torch.zeros(1, 21, 21)
    image[:, 7:14, 7:14] = 1
    copies = copies_of(image, scale=0.3)
    area = copies.sum((1, 2, 3))
    assert area.min() < 0.8 * 49
    assert area.max() > 1.2 * 49
    assert torch.allclose(copies[:, 0, 10, 10], torch.ones(len(copies)))
    middle = (copies * torch.arange(21.0)).sum((1, 2, 3)) / area
    assert torch.allclose(middle, torch.full_like(middle, 10.0), atol=1e-3)


def test_jitter_without_shift_and_noise_is_the_energy_itself():
    images = torch.rand(2, 3, 8, 8)
    energy = Excite(Brightness(), torch.tensor([0, 1]))
    same = Jittered(energy, [torch_generator(i) for i in range(2)], copies=3)
    assert torch.allclose(same(images), energy(images))
    assert same.evaluations == 3


def test_caution_takes_the_disagreement_of_members_off():
    class Two(torch.nn.Module):
        weights = torch.tensor([0.5, 0.5])

        def each_paired(self, images, units):
            bright = images.mean((1, 2, 3))
            return torch.stack([bright + units, 3 * bright + units])

    images = torch.rand(4, 3, 8, 8).requires_grad_()
    bright = images.detach().mean((1, 2, 3))
    energy = Excite(Two(), torch.arange(4), uncertainty_penalty=0.5)(images)
    assert torch.allclose(energy, -(2 * bright + torch.arange(4) - 0.5 * bright), atol=1e-5)
    dark = torch.zeros(1, 3, 8, 8, requires_grad=True)  # the members agree: the root's gradient must be finite
    (gradient,) = torch.autograd.grad(Excite(Two(), torch.tensor([0]), uncertainty_penalty=0.5)(dark).sum(), dark)
    assert torch.isfinite(gradient).all()


UNITS = torch.tensor([0, 3, 3])
MOMENTS = torch.arange(5).double(), torch.arange(1, 6).double()
ENERGIES = {
    "depress": lambda rows: Depress(Linear(), UNITS[rows]),
    "sparing all": lambda rows: ExciteSparing(Linear(), UNITS[rows], torch.arange(5), 0.7, MOMENTS),
    "sparing some": lambda rows: ExciteSparing(Linear(), UNITS[rows], torch.tensor([[1, 2], [4, 3], [0, 1]])[rows]),
    "match": lambda rows: MatchResponse(Linear(), torch.arange(15).view(3, 5)[rows]),
    "match some": lambda rows: MatchResponse(Linear(), torch.arange(6).view(3, 2)[rows], torch.tensor([4, 1])),
    "differ": lambda rows: Differ(pictures(4, key="shared")),
    "differ each": lambda rows: Differ(pictures(3, 4, key="own")[rows], lambda images: images[:, 0]),
}


@pytest.mark.parametrize("name", [*ENERGIES, "diverse"])
def test_gradients_are_those_of_finite_differences(name):
    energy = ENERGIES.get(name, lambda rows: Diverse(UNITS))([0, 1, 2])
    images = pictures(3).requires_grad_()
    assert energy(images).shape == (3,)
    assert torch.autograd.gradcheck(energy, images)


@pytest.mark.parametrize("name", ENERGIES)
def test_an_image_does_not_depend_on_its_batch(name):
    images = pictures(3)
    alone = torch.cat([ENERGIES[name]([row])(images[[row]]) for row in (0, 1, 2)])
    assert torch.allclose(ENERGIES[name]([0, 1, 2])(images), alone)


@pytest.mark.parametrize("name", ENERGIES)
def test_evaluations_are_the_images_that_the_model_sees(name):
    energy = ENERGIES[name]([0, 1, 2])
    if isinstance(energy, Differ):
        assert energy.evaluations == (energy.features is not None)
        return
    energy(pictures(3))
    assert energy.model.seen == 3 * energy.evaluations


def test_depress_undoes_excite_and_both_are_cautious():
    class Two(torch.nn.Module):
        weights = torch.tensor([0.5, 0.5])

        def each_paired(self, images, units):
            return torch.stack([images.mean((1, 2, 3)), 3 * images.mean((1, 2, 3))])

        def paired(self, images, units):
            return torch.tensordot(self.weights, self.each_paired(images, units), 1)

    images, units = torch.rand(3, 3, 4, 4), torch.zeros(3, dtype=torch.long)
    bright = images.mean((1, 2, 3))
    assert torch.equal((Depress(Two(), units) + Excite(Two(), units))(images), torch.zeros(3))
    assert torch.allclose(Depress(Two(), units, uncertainty_penalty=0.5)(images), 2.5 * bright, atol=1e-5)
    assert torch.allclose(Excite(Two(), units, uncertainty_penalty=0.5)(images), -1.5 * bright, atol=1e-5)


def test_sparing_is_its_definition_and_leaves_the_target_out_of_the_others():
    model, images = Linear(), pictures(3)
    scored = (model(images) - MOMENTS[0]) / MOMENTS[1]
    own = scored[torch.arange(3), UNITS]
    others = (scored.sum(1) - own) / 4
    energy = ExciteSparing(model, UNITS, torch.arange(5), weight=2.0, moments=MOMENTS)
    assert torch.allclose(energy(images), 2 * others - own)
    free = ExciteSparing(model, UNITS, torch.arange(5), weight=0.0)
    assert torch.allclose(free(images), Excite(model, UNITS)(images))


def test_sparing_sees_no_unit_but_those_named():
    images, others = pictures(3), torch.tensor([1, 2])
    model, changed = Linear(), Linear()
    changed.filters[4] = 9
    assert torch.equal(ExciteSparing(model, UNITS, others)(images), ExciteSparing(changed, UNITS, others)(images))
    changed.filters[2] = 9
    assert not torch.allclose(
        ExciteSparing(model, UNITS, others)(images), ExciteSparing(changed, UNITS, others)(images)
    )


def test_a_step_down_sparing_moves_the_others_less_than_a_step_down_excite():
    model, images, units = Linear(), pictures(3).requires_grad_(), torch.tensor([0, 1, 2])

    def change(energy):
        (gradient,) = torch.autograd.grad(energy(images).sum(), images)
        step = -gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        moved = model(step)  # linear: the response to the step is the change of the response
        own = moved[torch.arange(3), units]
        return own, (moved.sum(1) - own) / 4

    up, along = change(Excite(model, units))
    less_up, spared = change(ExciteSparing(model, units, torch.arange(5), 0.5))
    assert (spared < along).all()
    assert ((less_up > 0) & (less_up < up)).all()


def test_match_is_zero_at_the_target_and_quadratic_around_it():
    model, images = Linear(), pictures(3)
    target = model(images)
    assert torch.allclose(MatchResponse(model, target)(images), torch.zeros(3, dtype=torch.float64))
    off = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.allclose(MatchResponse(model, target + off[:, None])(images), off**2)
    some = torch.tensor([2, 0])
    assert torch.allclose(MatchResponse(model, target[:, some] + 2, some)(images), torch.full_like(off, 4))


def test_match_compares_the_units_that_were_recorded():
    images, target = pictures(2), torch.arange(10.0, dtype=torch.float64).view(2, 5)
    missing = target.clone()
    missing[0, 1], missing[1, [0, 4]] = torch.nan, torch.nan
    whole = MatchResponse(Linear(), missing)(images)
    for row, recorded in enumerate(([0, 2, 3, 4], [1, 2, 3])):
        units = torch.tensor(recorded)
        one = slice(row, row + 1)
        assert torch.allclose(whole[one], MatchResponse(Linear(), target[one][:, units], units)(images[one]))
    assert torch.autograd.gradcheck(MatchResponse(Linear(), missing), pictures(2).requires_grad_())


def test_differ_measures_pattern_and_not_brightness_or_contrast():
    images, other = pictures(3), pictures(2, key="other")
    energy = Differ(torch.cat([images, other]))
    assert torch.allclose(energy(images), torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(energy(0.2 * images + 0.5), torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(Differ(images[:1])(1 - images[:1]), torch.tensor([-2.0], dtype=torch.float64))
    assert torch.allclose(Differ(other)(0.3 * images + 0.1), Differ(other)(images))
    uniform = torch.full_like(images, 0.5).requires_grad_()
    flat = Differ(other)(uniform)
    assert torch.allclose(flat, torch.full_like(flat, -1))
    assert torch.isfinite(torch.autograd.grad(flat.sum(), uniform)[0]).all()


def test_differ_is_the_nearest_and_half_the_squared_distance_of_standardised_images():
    def standard(images):
        values = images.flatten(1)
        return torch.nn.functional.normalize(values - values.mean(1, keepdim=True), dim=1)

    images, earlier = pictures(3), pictures(4, key="earlier")
    distance = torch.cdist(standard(images), standard(earlier)) ** 2 / 2
    assert torch.allclose(Differ(earlier)(images), -distance.amin(1))
    own = Differ(earlier.expand(3, *earlier.shape))
    assert torch.allclose(own(images), Differ(earlier)(images))


def test_diverse_asks_the_group_and_no_other_image():
    groups, images = torch.tensor([7, 2, 7, 2, 7, 5]), pictures(6)
    energies = Diverse(groups)(images)
    for group in (2, 5, 7):
        inside = groups == group
        assert torch.equal(Diverse(groups[inside])(images[inside]), energies[inside])
    broken = images.clone()
    broken[groups == 2] = float("nan")
    assert torch.equal(Diverse(groups)(broken)[groups != 2], energies[groups != 2])
    assert energies[5].abs() < 1e-12  # alone


def test_diverse_runs_from_repeats_to_negatives_and_pushes_apart():
    image, groups = pictures(1), torch.tensor([0, 0])
    both = torch.ones(2, dtype=torch.float64)
    assert torch.allclose(Diverse(groups)(torch.cat([image, 0.1 * image + 0.4])), both)
    assert torch.allclose(Diverse(groups)(torch.cat([image, 1 - image])), -both)
    images = (image + 0.1 * pictures(2)).requires_grad_()
    before = Diverse(groups)(images)
    (gradient,) = torch.autograd.grad(before.sum(), images)
    assert (Diverse(groups)(images - 0.1 * gradient) < before - 1e-4).all()


def test_new_energies_add_to_old_ones():
    model, images = Linear(), pictures(3)
    total = Excite(model, UNITS) + 0.5 * Diverse(UNITS) + Differ(pictures(2, key="other"))
    parts = Excite(model, UNITS)(images) + 0.5 * Diverse(UNITS)(images) + Differ(pictures(2, key="other"))(images)
    assert torch.allclose(total(images), parts)
    assert total.evaluations == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Depress(Linear(), UNITS[:2]), "3 images for 2 target units"),
        (lambda: ExciteSparing(Linear(), UNITS[:2], torch.arange(5)), "3 images for 2 target units"),
        (lambda: ExciteSparing(Linear(), UNITS, torch.zeros(2, 4, dtype=torch.long)), r"shape \(2, 4\); give \(K,\)"),
        (lambda: ExciteSparing(Linear(), UNITS, torch.tensor([3])), "no other unit to spare"),
        (lambda: ExciteSparing(Linear(), UNITS, torch.arange(5), 1.0, (MOMENTS[0], MOMENTS[0])), "not above 0"),
        (lambda: MatchResponse(Linear(), torch.zeros(5)), r"shape \(5,\); give \(n, U\)"),
        (lambda: MatchResponse(Linear(), torch.zeros(3, 4), UNITS), r"shape \(3, 4\); give \(n, 3\)"),
        (lambda: MatchResponse(Linear(), torch.zeros(3, 4)), "target of 4 units for a model of 5"),
        (lambda: MatchResponse(Linear(), torch.zeros(1, 5)), "3 images for 1 target responses"),
        (lambda: MatchResponse(Linear(), torch.full((3, 5), torch.nan)), "an image without any response"),
        (lambda: Differ(pictures(0)), r"shape \(0, 3, 4, 4\)"),
        (lambda: Differ(pictures(2, 1)), "3 images for 2 sets"),
        (lambda: Differ(torch.rand(2, 3, 8, 8)), r"shape \(3, 4, 4\), the earlier ones have \(3, 8, 8\)"),
        (lambda: Diverse(UNITS[:2]), "3 images for 2 groups"),
        (lambda: Diverse(UNITS[None]), r"groups of shape \(1, 3\)"),
    ],
)
def test_shapes_that_do_not_agree_are_one_line(make, words):
    with pytest.raises(V4eggError, match=words) as error:
        make()(pictures(3))
    assert "\n" not in str(error.value)
