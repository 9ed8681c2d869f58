"""Synthesis climbs its energy, respects its constraints, and makes images that do not depend on their batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.training import new_prior, sample
from v4egg.seeding import torch_generator
from v4egg.synthesis import synthesize_mei
from v4egg.synthesis.constraints import L2Norm, PixelRange, chain, display_constraint
from v4egg.synthesis.energies import Excite, MatchResponse
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.gradient_ascent import gradient_ascent
from v4egg.synthesis.jitter import Jittered
from v4egg.xdream.evolved import evolved
from v4egg.xdream.generators.fixed import Fourier

PRIOR = {"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1}


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
    assert torch.equal(guide(prior, [0, 1, 2], scale=0.0).images, plain)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
@pytest.mark.parametrize("guidance", ["full", "straight_through"])
def test_lambda_zero_is_plain_sampling_bit_for_bit_by_every_sampler(prior, sampler, guidance):
    draws, scheduler = [torch_generator("egg", unit) for unit in range(2)], prior.scheduler(8, sampler)
    noisy = torch.cat([torch.randn((1, 3, 16, 16), generator=g) for g in draws])
    drawn = {"generator": draws} if sampler == "ancestral" else {}
    for timestep in scheduler.timesteps:
        output = prior.predict(noisy, timestep)
        clean = prior.clean(noisy, output, timestep)
        noisy = scheduler.step(output, timestep, noisy, **drawn).prev_sample
    made = guide(prior, [0, 1], scale=0.0, sampler=sampler, guidance=guidance)
    assert torch.equal(made.images, ((clean + 1) / 2).clamp(0, 1))


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
    options["scale"] = 2.0  # at 5 pixels saturate, and some processors' rounding grows to .02 by DPM-Solver's steps
    free, guided = guide(prior, [0, 1], **{**options, "scale": 0.0}), guide(prior, [0, 1], **options)
    assert (guided.energies < free.energies - 0.5).all()
    assert torch.allclose(guide(prior, [1], **options).images, guided.images[1:], atol=1e-5)


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
    with pytest.raises(V4eggError, match="unknown sampler 'euler'; give one of ancestral, ddim, dpm_solver"):
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


@pytest.mark.parametrize("guidance", ["full", "straight_through"])
def test_a_denoised_image_that_is_not_finite_is_the_prior_s(prior, guidance, monkeypatch):
    monkeypatch.setattr(type(prior), "clean", lambda self, noisy, output, timestep: (noisy - output) / 0)
    with pytest.raises(V4eggError, match="the denoised image 0 is not finite at step 0; the prior is at fault"):
        guide(prior, [0, 1], guidance=guidance)


def test_a_sum_names_all_its_parts_and_an_energy_over_units_its_image():
    total = Excite(Filters(), torch.tensor([2, 1])) + 0.5 * MatchResponse(Filters(), torch.zeros(2, 4))
    assert total.describe(1) == "Excite of image 1 + MatchResponse of image 1"


def test_a_prior_of_other_size_and_colour_is_bridged_and_one_over_latents_is_refused(tmp_path):
    torch.manual_seed(0)
    grey = Preprocess(12, 1, [0.5], [0.2])
    new_prior(PRIOR).save(tmp_path / "prior.zarr")
    guide = load_guide(tmp_path / "prior.zarr", grey)
    energy = Bright(grey)
    made = energy_guided(energy, [torch_generator(0)], guide, steps=4, constraint=display_constraint(2.0, grey))
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


class Members(Filters):
    """A model as synthesis takes it."""

    def __init__(self):
        super().__init__()
        self.units, self.stimulus_spec = [f"s1-u{i:03d}" for i in range(4)], preprocess()

    def index(self, units):
        return torch.tensor([self.units.index(unit) for unit in units])


@pytest.mark.parametrize("method", ["gradient_ascent", "energy_guided"])
def test_any_chunking_of_units_makes_the_same_images(method, tmp_path):
    torch.manual_seed(0)
    new_prior(PRIOR).save(tmp_path / "prior.zarr")
    generators = Members()
    jitter = {"copies": 2, "shift": 1, "noise": 0.02, "scale": 0.1, "patch": 0.2}
    own = {"transparency": 0.3, "learning_rate": 1.0} if method == "gradient_ascent" else {"energy_scale": 3.0}
    options = {"norm": 8.0, "uncertainty_penalty": 0, "jitter": jitter, "steps": 4, **own}

    def make(units):
        made = synthesize_mei(generators, units, method, prior=tmp_path / "prior.zarr", samples=2, **options)
        assert (made["evaluations"] == 8).all()
        return made["image"].values

    whole = make(generators.units)
    for chunks in ([1, 3], [2, 2], [1, 1, 1, 1]):
        starts = np.cumsum([0, *chunks])
        parts = [make(generators.units[a:b]) for a, b in pairwise(starts)]
        assert np.allclose(np.concatenate(parts), whole, atol=1e-5)


def test_unknown_method_is_named():
    with pytest.raises(V4eggError, match="'magic' is unknown; known: gradient_ascent, energy_guided, evolution"):
        synthesize_mei(Members(), ["u"], "magic")


def evolve(units, optimizer="genetic", budget=800, **options):
    energy = Excite(Filters(), torch.tensor(units))
    draws = [torch_generator("xdream", unit) for unit in units]
    stimulus_spec, constraint = preprocess(), chain(L2Norm(8.0, preprocess()), PixelRange())
    return evolved(
        energy,
        draws,
        Fourier(stimulus_spec),
        stimulus_spec,
        optimizer=optimizer,
        budget=budget,
        constraint=constraint,
        **options,
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


def test_a_killed_evolution_of_images_goes_on_to_the_same_images(killed_at, tmp_path):
    whole, checkpoint = evolve([0, 1]), Checkpoint(tmp_path, {})

    with pytest.raises(KeyboardInterrupt):
        evolve([0, 1], checkpoint=checkpoint, progress=killed_at(30))
    assert checkpoint.load()["presentations"].tolist() == [500, 500]
    assert torch.equal(evolve([0, 1], checkpoint=checkpoint).images, whole.images)


def test_an_energy_that_is_not_finite_names_the_presentation():
    draws, stimulus_spec = [torch_generator(0)], preprocess()

    def broken(images):
        return images.sum((1, 2, 3)) * float("nan")

    with pytest.raises(V4eggError, match="the energy is not finite after 0 presentations"):
        evolved(broken, draws, Fourier(stimulus_spec), stimulus_spec, budget=40, constraint=PixelRange())
