"""Synthesis climbs its energy, respects its constraints, and makes images that do not depend on their batch."""

import numpy as np
import pytest
import torch
from torch import nn

from v4egg.checkpoints import Checkpoint
from v4egg.constraints import L2Norm, PixelRange, chain
from v4egg.energies import Excite
from v4egg.errors import V4eggError
from v4egg.image_generators.fixed import Fourier
from v4egg.priors.training import new_prior, sample
from v4egg.seeding import torch_generator
from v4egg.stimuli import Preprocess
from v4egg.synthesis import most_exciting_images
from v4egg.synthesis.energy_guided import energy_guided
from v4egg.synthesis.evolved import evolved
from v4egg.synthesis.gradient_ascent import gradient_ascent

PRIOR = {"size": 16, "channels": 3, "fold": 2, "widths": [32, 32], "layers": 1}


class Filters(nn.Module):
    """Unit u responds to the match of the image with filter u."""

    def __init__(self, units=4):
        super().__init__()
        self.filters = torch.randn(units, 3, 16, 16, generator=torch_generator("filters"))

    def paired(self, images, units):
        return (images * self.filters[units]).sum((1, 2, 3))


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
    from v4egg.stimuli import blur

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
    assert sample(prior, [torch_generator(0)], 4).shape == (1, 3, 16, 16)


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

    draws = [torch_generator(0)]
    with pytest.raises(V4eggError, match="not finite at step 0"):
        energy_guided(Excite(Broken(), torch.tensor([0])), draws, prior, steps=2, constraint=PixelRange())
    with pytest.raises(V4eggError, match="not finite at step 0"):
        gradient_ascent(Excite(Broken(), torch.tensor([0])), draws, preprocess(), steps=2, constraint=PixelRange())


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
