"""Synthesis climbs its energy, respects its constraints, and makes images that do not depend on their batch."""

import numpy as np
import pytest
import torch
from torch import nn

from v4egg.checkpoints import Checkpoint
from v4egg.constraints import L2Norm, PixelRange, chain
from v4egg.energies import Excite, Jittered, MatchResponse
from v4egg.errors import V4eggError
from v4egg.image_generators.fixed import Fourier
from v4egg.priors.training import new_prior, sample
from v4egg.seeding import torch_generator
from v4egg.stimuli import Preprocess, blur
from v4egg.synthesis import most_exciting_images
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.evolved import evolved
from v4egg.synthesis.gradient_ascent import gradient_ascent
from v4egg.synthesis.most_exciting import shown

PRIOR = {"size": 16, "channels": 3, "fold": 2, "widths": [32, 32], "layers": 1}


class Filters(nn.Module):
    """Unit u responds to the match of the image with filter u."""

    def __init__(self, units=4):
        super().__init__()
        self.filters = torch.randn(units, 3, 16, 16, generator=torch_generator("filters"))

    def paired(self, images, units):
        return (images * self.filters[units]).sum((1, 2, 3))

    def forward(self, images, units=None):
        return torch.einsum("bcyx,ucyx->bu", images, self.filters if units is None else self.filters[units])


class Bright:
    """Minus the mean of what an encoder with this preprocess sees."""

    def __init__(self, preprocess):
        self.preprocess = preprocess

    def __call__(self, images):
        return -self.preprocess(images).mean((1, 2, 3))


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    return new_prior(PRIOR).eval().requires_grad_(False)


def preprocess():
    return Preprocess(16, 3, [0.5] * 3, [0.2] * 3)


def ascend(units, steps=30, norm=8.0):
    energy = Excite(Filters(), torch.tensor(units))
    draws = [torch_generator("ga", unit) for unit in units]
    constraint = chain(L2Norm(norm, preprocess()), PixelRange())
    return gradient_ascent(energy, draws, preprocess(), steps=steps, learning_rate=1.0, constraint=constraint)


def guide(prior, units, scale=5.0, constraint=None, **options):
    energy = Excite(Filters(), torch.tensor(units))
    draws = [torch_generator("egg", unit) for unit in units]
    return energy_guided(
        energy, draws, prior, steps=8, energy_scale=scale, constraint=constraint or PixelRange(), **options
    )


def test_gradient_ascent_finds_the_filter_at_the_given_norm():
    made = ascend([0, 3], steps=100)
    z = preprocess()(made.images)
    assert torch.allclose(z.flatten(1).norm(dim=1), torch.full((2,), 8.0), atol=0.1)
    assert (made.trajectory[:, -1] < made.trajectory[:, 0]).all()
    best = blur(Filters().filters[[0, 3]], 1.0)
    match = torch.cosine_similarity(z.flatten(1), best.flatten(1))
    assert (match > 0.7).all()
    assert made.evaluations == 100


def test_guidance_lowers_the_energy(prior):
    free, guided = guide(prior, [0, 1, 2], scale=0.0), guide(prior, [0, 1, 2])
    assert (guided.energies < free.energies - 1).all()
    assert guided.images.min() >= 0
    assert guided.images.max() <= 1
    assert guided.trajectory.shape == (3, 8)


def test_lambda_zero_is_plain_sampling(prior):
    draws = [torch_generator("egg", unit) for unit in range(3)]
    scheduler = prior.scheduler(8)
    noisy = torch.cat([torch.randn((1, 3, 16, 16), generator=g) for g in draws])
    for timestep in scheduler.timesteps:
        clean = prior.denoise(noisy, timestep)
        noisy = scheduler.step(prior.predict(noisy, timestep), timestep, noisy, generator=draws).prev_sample
    assert torch.equal(guide(prior, [0, 1, 2], scale=0.0).images, ((clean + 1) / 2).clamp(0, 1))
    plain = sample(prior, [torch_generator("egg", unit) for unit in range(3)], 8)
    assert torch.allclose(guide(prior, [0, 1, 2], scale=0.0).images, plain, atol=1e-5)


@pytest.mark.parametrize("make", [ascend, None], ids=["gradient_ascent", "energy_guided"])
def test_no_image_depends_on_its_batch(prior, make):
    make = make or (lambda units: guide(prior, units))
    together = make([0, 1, 2, 3]).images
    alone = torch.cat([make([unit]).images for unit in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(together, make([0, 1, 2, 3]).images)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
@pytest.mark.parametrize("guidance", ["full", "straight_through"])
@pytest.mark.parametrize("noise_scaled", [False, True])
def test_every_way_of_guidance_lowers_the_energy_whatever_the_batch(prior, sampler, guidance, noise_scaled):
    options = {"sampler": sampler, "guidance": guidance, "noise_scaled": noise_scaled}
    free, guided = guide(prior, [0, 1], scale=0.0, **options), guide(prior, [0, 1], **options)
    assert (guided.energies < free.energies - 0.5).all()
    assert torch.allclose(guide(prior, [1], **options).images, guided.images[1:], atol=1e-5)


def test_samplers_without_noise_give_what_only_the_start_decides(prior):
    draws = [torch_generator("egg", 0)]
    noisy, scheduler = torch.randn((1, 3, 16, 16), generator=draws[0]), prior.scheduler(8, "ddim")
    for timestep in scheduler.timesteps:
        clean = prior.denoise(noisy, timestep)
        noisy = scheduler.step(prior.predict(noisy, timestep), timestep, noisy).prev_sample
    made = guide(prior, [0], scale=0.0, sampler="ddim", guidance="straight_through")
    assert torch.allclose(made.images, ((clean + 1) / 2).clamp(0, 1), atol=1e-6)


def test_straight_through_guidance_never_goes_back_through_the_denoiser(prior, monkeypatch):
    graphs = []
    predict = type(prior).predict

    def watched(self, *arguments):
        output = predict(self, *arguments)
        graphs.append(output.requires_grad)
        return output

    monkeypatch.setattr(type(prior), "predict", watched)
    guide(prior, [0], guidance="straight_through")
    assert not any(graphs)
    guide(prior, [0])
    assert graphs[-1]


def test_each_image_may_have_its_own_lambda(prior):
    made = guide(prior, [0, 1], scale=[0.0, 5.0])
    assert torch.allclose(made.images[:1], guide(prior, [0], scale=0.0).images, atol=1e-5)
    assert torch.allclose(made.images[1:], guide(prior, [1], scale=5.0).images, atol=1e-5)
    with pytest.raises(V4eggError, match="3 energy_scale for 2 images"):
        guide(prior, [0, 1], scale=[1.0, 2.0, 3.0])


def test_unknown_ways_are_named(prior):
    with pytest.raises(V4eggError, match="unknown sampler 'euler'; known: ancestral, ddim, dpm_solver"):
        guide(prior, [0], sampler="euler")
    with pytest.raises(V4eggError, match="unknown guidance 'half'"):
        guide(prior, [0], guidance="half")


def test_negative_lambda_and_non_finite_energy_are_refused(prior):
    with pytest.raises(V4eggError, match="energy_scale is -1"):
        guide(prior, [0], scale=-1)

    class Broken(nn.Module):
        def paired(self, images, units):
            return images.sum((1, 2, 3)) * float("nan")

    Broken.units = ["s1-u000", "s1-u001"]
    draws = [torch_generator(0), torch_generator(1)]
    energy = 2 * Jittered(Excite(Broken(), torch.tensor([1, 0])), draws, copies=1)
    words = "Excite of unit s1-u001 is nan, not finite, at step 0"
    with pytest.raises(V4eggError, match=f"energy guided diffusion: {words}"):
        energy_guided(energy, draws, prior, steps=2, constraint=PixelRange())
    with pytest.raises(V4eggError, match=f"gradient ascent: {words}"):
        gradient_ascent(energy, draws, preprocess(), steps=2, constraint=PixelRange())
    with pytest.raises(V4eggError, match="the energy of image 0 is nan"):
        energy_guided(lambda images: images.sum((1, 2, 3)) / 0 * 0, draws, prior, steps=2, constraint=PixelRange())


def test_a_sum_names_all_its_parts_and_an_energy_over_units_its_image():
    total = Excite(Filters(), torch.tensor([2, 1])) + 0.5 * MatchResponse(Filters(), torch.zeros(2, 4))
    assert total.describe(1) == "Excite of image 1 + MatchResponse of image 1"


def test_a_prior_of_other_size_and_colour_is_bridged_and_one_over_latents_is_refused(tmp_path):
    torch.manual_seed(0)
    grey = Preprocess(12, 1, [0.5], [0.2])
    new_prior(PRIOR).save(tmp_path / "prior.zarr")
    guide = load_guide(tmp_path / "prior.zarr", grey)
    energy = Bright(grey)
    made = energy_guided(energy, [torch_generator(0)], guide, steps=4, constraint=shown(2.0, grey))
    assert made.images.shape == (1, 3, 16, 16)
    assert torch.allclose(grey(made.images).norm(), torch.tensor(2.0), rtol=0.05)
    new_prior({**PRIOR, "channels": 4}).save(tmp_path / "latent.zarr")
    with pytest.raises(V4eggError, match=r"images of shape \(4, 16, 16\) and the encoder takes \(1, 12, 12\)"):
        load_guide(tmp_path / "latent.zarr", grey)


def test_batches_of_one_and_of_32_make_the_same_images(prior):
    units = [i % 4 for i in range(32)]
    energy = Excite(Filters(), torch.tensor(units))
    options = {"steps": 4, "energy_scale": 5.0, "constraint": PixelRange()}
    together = energy_guided(energy, [torch_generator("egg", i) for i in range(32)], prior, **options).images
    for i in (0, 13, 31):
        alone = energy_guided(
            Excite(Filters(), torch.tensor(units[i : i + 1])), [torch_generator("egg", i)], prior, **options
        )
        assert torch.allclose(alone.images, together[i : i + 1], atol=1e-5)


def descend(rows, goal=None, steps=200):
    """Towards the responses of images, with a view: blurred and brought to a norm."""
    target = torch.rand(3, 3, 16, 16, generator=torch_generator("targets"))[rows]
    canvas = preprocess()
    norm = canvas(target).flatten(1).norm(dim=1)
    view = chain(lambda images: blur(images, 1.0), L2Norm(norm, canvas))
    draws = [torch_generator("gd", row) for row in rows]
    energy = MatchResponse(Filters(), Filters()(target))
    options = {"learning_rate": 0.05, "smoothing": 0.0, "constraint": PixelRange(), "view": view, "goal": goal}
    return gradient_ascent(energy, draws, canvas, steps=steps, **options)


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


def test_unknown_method_is_named():
    with pytest.raises(V4eggError, match="unknown method 'magic'; known: energy_guided, evolution, gradient_ascent"):
        most_exciting_images("magic", None, ["u"], {})


def test_blurred_gradients_make_smooth_images():
    rough = ascend([0]).images
    assert np.isfinite(rough).all()
    step = (rough[..., 1:] - rough[..., :-1]).abs().mean()
    spread = rough.std()
    assert step < spread


def evolve(units, optimizer="genetic", budget=800, **options):
    energy = Excite(Filters(), torch.tensor(units))
    draws = [torch_generator("xdream", unit) for unit in units]
    canvas, constraint = preprocess(), chain(L2Norm(8.0, preprocess()), PixelRange())
    return evolved(
        energy, draws, Fourier(canvas), canvas, optimizer=optimizer, budget=budget, constraint=constraint, **options
    )


def test_evolution_climbs_the_same_energies_without_a_gradient():
    made, random = evolve([0, 1, 2]), evolve([0, 1, 2], "random_search")
    assert (made.energies < random.energies).all()
    assert torch.allclose(made.energies, made.trajectory.amin(1), atol=1e-4)
    assert made.trajectory.shape == (3, 40)
    assert made.evaluations == 800
    norms = preprocess()(made.images).flatten(1).norm(dim=1)
    assert torch.allclose(norms, torch.full((3,), 8.0), atol=0.1)


def test_no_evolved_image_depends_on_its_batch():
    together = evolve([0, 1, 2], budget=200).images
    alone = torch.cat([evolve([unit], budget=200).images for unit in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_killed_evolution_of_images_goes_on_to_the_same_images(tmp_path):
    whole, checkpoint = evolve([0, 1]), Checkpoint(tmp_path, {})

    def killed(rounds):
        for count in rounds:
            if count == 30:
                raise KeyboardInterrupt
            yield count

    with pytest.raises(KeyboardInterrupt):
        evolve([0, 1], checkpoint=checkpoint, progress=killed)
    assert checkpoint.load()["shown"].tolist() == [500, 500]
    assert torch.equal(evolve([0, 1], checkpoint=checkpoint).images, whole.images)


def test_an_energy_that_is_not_finite_names_the_presentation():
    draws, canvas = [torch_generator(0)], preprocess()

    def broken(images):
        return images.sum((1, 2, 3)) * float("nan")

    with pytest.raises(V4eggError, match="the energy is not finite after 0 presentations"):
        evolved(broken, draws, Fourier(canvas), canvas, budget=40, constraint=PixelRange())
