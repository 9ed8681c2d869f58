"""Neurons as black boxes: the right unit of the right source, and evolution climbs each of them."""

import numpy as np
import pytest
import torch
from torch import nn

from small_models import small_encoder
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.simulation.brain import SimulatedBrain
from v4egg.xdream.evolution import Evolution, PoissonSpikes, evolve
from v4egg.xdream.generators import make_image_generator
from v4egg.xdream.neurons import HiddenUnits, ModelUnits, all_responses, rectified_layers
from v4egg.xdream.optimizers import make_optimizer

CANVAS = Preprocess(16, 3, [0.5] * 3, [0.2] * 3)


@pytest.fixture(scope="module")
def encoder():
    return small_encoder([f"s1-u{i:03d}" for i in range(5)])


@pytest.fixture(scope="module")
def brain():
    brain = SimulatedBrain(3, 40, 0, "sim", calibrate=False)
    brain.gain.fill_(1000.0)  # without calibration responses to noise lie near 1.25, which no spike count tells apart
    brain.baseline.fill_(-1240.0)
    return brain


def pictures(n=6, size=16):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_a_unit_is_the_model_s_own(encoder):
    neurons, images = ModelUnits(encoder, ["s1-u003", "s1-u000"]), pictures()
    which = np.array([0, 1, 1, 0, 0, 1])
    everything = encoder(images)
    assert torch.allclose(neurons(images, which), everything[range(6), [3, 0, 0, 3, 3, 0]], atol=1e-5)
    with pytest.raises(V4eggError, match="no unit s2-u000; it has s1-u000 to s1-u004"):
        ModelUnits(encoder, ["s2-u000"])


def test_a_hidden_unit_is_the_middle_of_its_map(encoder):
    images, layers = pictures(), rectified_layers(encoder)
    assert len(layers) >= 4
    layer = layers[1]
    maps = {}
    handle = dict(encoder.named_modules())[layer].register_forward_hook(lambda m, i, o: maps.update(out=o.clone()))
    encoder(images)
    handle.remove()
    side = maps["out"].shape[-1]
    neurons = HiddenUnits(encoder, layer, [5, 2])
    found = neurons(images, np.array([0, 0, 1, 1, 0, 1]))
    expected = maps["out"][range(6), [5, 5, 2, 2, 5, 2], side // 2, side // 2]
    assert torch.equal(found, expected)
    assert neurons.names == [f"{layer}-c005", f"{layer}-c002"]


def test_features_of_a_linear_layer_are_units_too():
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.Linear(4, 2))
    images = pictures()
    found = HiddenUnits(network, "1", [3])(images, np.zeros(6, int))
    assert torch.allclose(found, network[:2](images)[:, 3])
    assert rectified_layers(nn.Sequential(nn.Conv2d(3, 4, 3))) == ["0"]


def test_what_is_no_layer_or_no_channel_is_named(encoder):
    with pytest.raises(V4eggError, match=r"no layer 'core.99'; it has preprocess, core"):
        HiddenUnits(encoder, "core.99", [0])
    with pytest.raises(V4eggError, match="has 8 channels and none is number 8"):
        HiddenUnits(encoder, "core.3", [8])(pictures(1), np.array([0]))


def test_responses_to_natural_images_do_not_depend_on_batches(encoder):
    neurons, images = ModelUnits(encoder, encoder.units), pictures(9)
    assert np.allclose(all_responses(neurons, images, batch=4), encoder(images).double().numpy(), atol=1e-5)


@pytest.mark.parametrize("source", ["encoder", "shallow", "deep", "brain"])
def test_evolution_climbs_neurons_of_every_kind(source, encoder, brain):
    layers = rectified_layers(encoder)
    neurons = {
        "encoder": lambda: ModelUnits(encoder, encoder.units[:3]),
        "shallow": lambda: HiddenUnits(encoder, layers[0], [0, 1, 2]),
        "deep": lambda: HiddenUnits(encoder, layers[-1], [0, 1, 2]),
        "brain": lambda: ModelUnits(brain, brain.units),
    }[source]()
    generator, keys = make_image_generator("fourier", CANVAS), [(source, i) for i in range(3)]
    noise, budget = (PoissonSpikes(keys, 1.0), 160) if source == "brain" else (None, 300)
    best, random = (
        evolve(
            Evolution(make_optimizer(name, keys, generator.size), budget),
            generator,
            neurons,
            noise=noise,
        )
        for name in ("genetic", "random_search")
    )
    first, last = best.history["noiseless"][0], best.history["noiseless"][-1]
    assert (last > first).sum() >= 2
    assert last.sum() > random.history["noiseless"].mean(0).sum()


def test_published_models_are_neurons(public_data):
    from v4egg.compact.published import load_published_models

    models = load_published_models(public_data, "s190923", [0, 1])
    neurons = ModelUnits(models, models.units)
    found = neurons(pictures(2, 112), np.array([1, 0]))
    assert torch.allclose(found, models(pictures(2, 112))[[0, 1], [1, 0]], atol=1e-4)
