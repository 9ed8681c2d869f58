"""Models, priors and images on different devices: everything is moved or refused, and results are those of the CPU."""

import copy

import numpy as np
import pytest
import torch

import v4egg
from pretended_device import MixedDevicesError, pretended_device
from v4egg.compact.adversarial import adversarial_images, random_changes
from v4egg.compact.maximizing import maximizing_images
from v4egg.device import device_of
from v4egg.evaluation.judges import Judge
from v4egg.images.processing import Preprocess
from v4egg.priors.training import new_prior
from v4egg.seeding import torch_generator
from v4egg.synthesis.constraints import Aperture, L2Norm, PixelRange, chain
from v4egg.synthesis.diversity import Differ, Diverse
from v4egg.synthesis.energies import Depress, Excite, ExciteSparing, MatchResponse
from v4egg.synthesis.jitter import Jittered
from v4egg.synthesis.pipeline import EnergyGuidedPipeline
from v4egg.synthesis.reconstruction import Targets

SIZE = 8
UNITS = ["a", "b", "c"]
JITTER = {"copies": 2, "shift": 1, "noise": 0.02, "scale": 0.1, "patch": 0.2}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    network = torch.nn.Sequential(*layers)
    return v4egg.wrap_model(network, UNITS, size=SIZE, channels=3, mean=[0.5] * 3, std=[0.2] * 3)


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(1)
    return new_prior({"size": SIZE, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1}).eval()


def images(n=3, key="images"):
    return torch.rand(n, 3, SIZE, SIZE, generator=torch_generator(key))


def test_the_pretended_device_computes_and_refuses_to_mix():
    with pretended_device() as device:
        there = torch.arange(3.0).to(device)
        assert there.device == device
        assert (there * 2).cpu().tolist() == [0, 2, 4]
        for mixed in (lambda: there + torch.ones(3), lambda: torch.ones(3)[there.long()]):
            with pytest.raises(MixedDevicesError):
                mixed()
        with pytest.raises(MixedDevicesError):
            torch.randn(3, generator=torch_generator(0), device=device)


SYNTHESES = {
    "gradient_ascent": lambda model, prior, **o: v4egg.synthesize_mei(
        model, ["b", 0], "gradient_ascent", steps=3, norm=5.0, transparency=0.2, jitter=JITTER, **o
    ),
    "energy_guided": lambda model, prior, **o: v4egg.synthesize_mei(
        model, ["b"], prior=prior, steps=3, norm=5.0, jitter=JITTER, **o
    ),
    "sampler": lambda model, prior, **o: v4egg.synthesize_mei(
        model, ["b"], prior=prior, steps=3, sampler="dpm_solver", guidance="straight_through", noise_scaled=True, **o
    ),
    "evolution": lambda model, prior, **o: v4egg.synthesize_mei(
        model, ["b"], "evolution", prior=prior, budget=40, image_generator={"name": "diffusion", "steps": 1}, **o
    ),
    "meni": lambda model, prior, **o: v4egg.synthesize_meni(model, ["b"], [0, 2], prior=prior, steps=2, **o),
    "diverse": lambda model, prior, **o: v4egg.synthesize_diverse(
        model, ["b", "c"], [3], prior=prior, steps=2, samples=2, deviations={"b": 2.0}, **o
    ),
    "reconstruction": lambda model, prior, **o: v4egg.reconstruct(
        model,
        [Targets(["x", "y"], (255 * images(2)).byte().numpy(), ["a", "c"], np.ones((2, 2), np.float32))],
        prior=prior,
        steps=2,
        descent_steps=3,
        **o,
    ),
    "search": lambda model, prior, **o: v4egg.search_natural_images(
        model, ["b"], (255 * images(6)).byte().numpy(), k=2, **o
    ),
}


@pytest.mark.parametrize("make", SYNTHESES.values(), ids=SYNTHESES)
def test_images_are_those_of_the_cpu_wherever_model_and_prior_are(make, model, prior):
    expected = make(model, prior).drop_vars("seconds", errors="ignore")
    with pretended_device() as device:
        cases = [make(model, prior, device=device)]
        assert device_of(model) == device_of(prior) == torch.device("cpu")
        moved = copy.deepcopy(model).to(device), copy.deepcopy(prior).to(device)
        cases += [make(moved[0], prior), make(moved[0], moved[1])]
        assert device_of(moved[0]) == device_of(moved[1]) == device
    for made in cases:
        made = made.drop_vars("seconds", errors="ignore")
        for name, values in expected.items():
            same = np.allclose(values, made[name], atol=1e-5) if values.dtype.kind == "f" else values.equals(made[name])
            assert same, name


ENERGIES = {
    "weighted": lambda model: torch.tensor([1.0, 2.0, 3.0]) * Excite(model, torch.tensor([0, 1, 2])),
    "sum": lambda model: Excite(model, torch.tensor([0, 1, 2])) - Depress(model, torch.tensor([1, 1, 1])) * 2,
    "sparing": lambda model: ExciteSparing(
        model, torch.tensor([0, 1, 2]), torch.arange(3), moments=(torch.zeros(3), torch.ones(3))
    ),
    "match": lambda model: MatchResponse(model, torch.ones(3, 2), torch.tensor([0, 2])),
    "differ": lambda model: Differ(images(4, "earlier")),
    "differ each": lambda model: Differ(images(6, "earlier").view(3, 2, 3, SIZE, SIZE)),
    "diverse": lambda model: Diverse(torch.tensor([0, 1, 0])),
    "jittered": lambda model: Jittered(
        Excite(model, torch.tensor([0, 1, 2])), [torch_generator(i) for i in range(3)], **JITTER
    ),
}


@pytest.mark.parametrize("energy", ENERGIES.values(), ids=ENERGIES)
def test_energies_of_cpu_tensors_take_images_on_another_device(energy, model):
    expected = energy(model)(images())
    with pretended_device() as device:
        found = energy(copy.deepcopy(model).to(device))(images().to(device))
        assert found.device == device
        assert torch.allclose(found.cpu(), expected, atol=1e-5)


def test_constraints_of_cpu_tensors_take_images_on_another_device():
    preprocess = Preprocess(SIZE, 3, [0.5] * 3, [0.2] * 3)
    mask = torch.rand(3, SIZE, SIZE, generator=torch_generator("mask"))
    norm = L2Norm(torch.tensor([3.0, 4.0, 5.0]), preprocess)
    constraint = chain(Aperture(mask, background=torch.tensor([0.4, 0.5, 0.6])), norm, PixelRange())
    with pretended_device() as device:
        found = constraint(images().to(device)).cpu()
    assert torch.allclose(found, constraint(images()), atol=1e-6)


def test_judges_compute_where_their_models_are(model):
    expected = Judge("cpu", [model], shares_weights=False)
    with pretended_device() as device:
        judge = Judge("there", [copy.deepcopy(model).to(device)], shares_weights=False)
        assert torch.allclose(judge(images(), ["c", "a"]), expected(images(), ["c", "a"]), atol=1e-6)
        pairs = judge.paired(images().to(device), ["c", "a", "nobody"])  # results are where the images are
        assert pairs.device == device
        assert torch.allclose(pairs.cpu()[:2], expected.paired(images()[:2], ["c", "a"]), atol=1e-6)
        assert pairs.cpu()[2].isnan()


def test_the_pipeline_moves_and_takes_cpu_generators_and_latents(prior):
    def call(pipe, **options):
        rngs = [torch.Generator().manual_seed(seed) for seed in range(3)]
        shared = {"batch_size": 3, "max_batch_size": 2, "num_inference_steps": 3, "output_type": "pt"}
        made = pipe(lambda images: images.mean((1, 2, 3)), generator=rngs, **shared, **options)
        return made.images, made.energies, made.trajectory

    def pipeline(given):
        pipe = EnergyGuidedPipeline.from_prior(given)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    latents = torch.randn(3, 3, SIZE, SIZE, generator=torch_generator("latents"))
    expected = [*call(pipeline(prior)), *call(pipeline(prior), latents=latents)]
    with pretended_device() as device:
        pipe = pipeline(copy.deepcopy(prior).to(device))
        found = [*call(pipe), *call(pipe, latents=latents)]
        assert pipe.device == device
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_adversarial_and_maximizing_images_follow_their_models(model):
    units, signs = torch.tensor([0, 1, 2]), torch.tensor([1.0, -1.0, 1.0])
    noise = torch.randn(3, 3, SIZE, SIZE, generator=torch_generator("noise"))
    expected = adversarial_images(model, images(), units, signs, 0.05, 4)
    with pretended_device() as device:
        moved, there = copy.deepcopy(model).to(device), images().to(device)
        assert torch.allclose(adversarial_images(moved, there, units, signs, 0.05, 4).cpu(), expected, atol=1e-5)
        assert torch.allclose(
            random_changes(there, noise, 0.05).cpu(), random_changes(images(), noise, 0.05), atol=1e-5
        )
        made = maximizing_images(moved, UNITS, SIZE, steps=4)
    assert np.allclose(made["image"], maximizing_images(model, UNITS, SIZE, steps=4)["image"], atol=1e-5)
