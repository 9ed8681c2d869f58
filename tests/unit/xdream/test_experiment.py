"""XDream's experiment: neurons of every condition, natural starts, and relative activation against natural images."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
import xarray as xr

from small_models import small_ensemble
from v4egg.errors import V4eggError
from v4egg.evaluation.judges import Judge
from v4egg.images.processing import stimulus_spec_of, to_float
from v4egg.xdream.experiment import evolution_experiment, experiment_neurons, natural_codes, responses_to_natural
from v4egg.xdream.generators import make_image_generator
from v4egg.xdream.neurons import ModelUnits, NeuronGroup

UNITS = ["s1-u000", "s1-u001", "s2-u000"]
SEARCH = {"optimizer": "genetic", "settings": {"population": 6}, "budget": 36}


@pytest.fixture(scope="module")
def ensemble():
    return small_ensemble(UNITS, seed=0, output="elu+1")


@pytest.fixture(scope="module")
def natural():
    draws = np.random.default_rng(0)
    return {s: draws.integers(0, 255, (n, 3, size, size), np.uint8) for s, n, size in (("s1", 9, 16), ("s2", 7, 20))}


def neurons_of(kind, ensemble, natural, judges=(), units=24):
    options = {"neurons": kind, "units": units, "layers": 2, "channels": 2}
    return experiment_neurons(
        options, UNITS, ensemble, [model for judge in judges for model in judge.models], natural["s1"], 0
    )


def test_neurons_of_every_condition(ensemble, natural):
    judge = Judge("brain", [ensemble.members[0]], shares_weights=False)
    outside = neurons_of("external", None, natural, [judge])
    assert outside.names == neurons_of("encoder", ensemble, natural).names == UNITS
    assert outside.groups == ["s1", "s1", "s2"]
    assert len(neurons_of("external", None, natural, [judge], units=2).names) == 2
    hidden = neurons_of("hidden", ensemble, natural)
    assert len(set(hidden.groups)) == 2
    assert len(hidden.names) == 4
    assert (hidden.all(to_float(natural["s1"])).amax(0) > 0).all()
    with pytest.raises(V4eggError, match="no external judge predicts a target unit"):
        neurons_of("external", None, natural)


def test_neurons_of_several_sources_keep_their_order(ensemble, natural):
    neurons, images = neurons_of("hidden", ensemble, natural), to_float(natural["s1"])[:4]
    which = np.array([3, 0, 2, 1])
    assert torch.allclose(neurons(images, which), neurons.all(images)[range(4), which])


def test_images_count_for_the_units_of_their_session(ensemble, natural):
    neurons = neurons_of("encoder", ensemble, natural)
    asked = responses_to_natural(neurons, natural, {})
    assert asked.shape == (16, 3)
    assert np.isfinite(asked).all()
    known = {
        s: xr.DataArray(asked[rows][:, columns], dims=("image", "unit"), coords={"unit": np.array(UNITS)[columns]})
        for s, rows, columns in (("s1", slice(0, 9), [1, 0]), ("s2", slice(9, 16), [2]))
    }
    table = responses_to_natural(neurons, natural, known)
    assert np.array_equal(table[:9, :2], asked[:9, :2])
    assert np.array_equal(table[9:, 2], asked[9:, 2])
    assert np.isnan(table[9:, :2]).all()
    assert np.isnan(table[:9, 2]).all()


def test_a_natural_start_shows_the_best_natural_images_first(ensemble, natural):
    neurons = neurons_of("encoder", ensemble, natural)
    generator, blocks = make_image_generator("pixels", stimulus_spec_of(natural["s1"])), list(natural.values())
    responses = responses_to_natural(neurons, natural, {})
    responses[9:, 0] = np.nan
    codes = natural_codes(generator, blocks, responses, 6)
    assert codes.shape == (3, 6, generator.size)
    first = generator(torch.from_numpy(codes[0, :1]))
    assert torch.allclose(first, to_float(natural["s1"][np.nanargmax(responses[:, 0])][None]), atol=1e-5)
    with pytest.raises(V4eggError, match="16 natural images for a population of 20"):
        natural_codes(generator, blocks, responses, 20)


@pytest.mark.parametrize("spikes", [None, 20.0])
def test_relative_activation_is_the_true_one_and_a_natural_start_never_loses(ensemble, natural, spikes):
    neurons = neurons_of("encoder", ensemble, natural)
    generator = make_image_generator("pixels", stimulus_spec_of(natural["s1"]))
    natural = {"s1": natural["s1"]}  # of the generator's own size, so that codes give them back
    responses = responses_to_natural(neurons, natural, {})
    result = evolution_experiment(
        neurons, generator, list(natural.values()), responses, **SEARCH, spikes=spikes, initial="natural"
    )
    evolved = neurons(torch.from_numpy(result["image"].values), np.arange(3)).numpy()
    assert np.allclose(result["evolved"], evolved, atol=1e-4)
    assert np.allclose(result["evolved_over_natural"], evolved / responses.max(0), atol=1e-4)
    assert (result["presentations"].values[:, -1] == 36).all()
    if spikes is None:
        assert (result["evolved_over_natural"] >= 1 - 1e-5).all()
    else:
        assert not np.allclose(result["mean"], result["noiseless"])


class Rough(torch.nn.Module):
    """A model whose quick way is wrong by a constant."""

    def __init__(self, model):
        super().__init__()
        self.model, self.units, self.error = model, model.units, 0.0

    @contextmanager
    def reduced_precision(self):
        self.error = 0.25
        yield
        self.error = 0.0

    def forward(self, images, units=None):
        return self.model(images, units) + self.error

    def paired(self, images, units):
        return self.model.paired(images, units) + self.error


def test_a_quick_way_is_searched_with_and_the_exact_response_is_reported(ensemble, natural):
    rough = NeuronGroup({"s1": ModelUnits(Rough(ensemble.members[0]), UNITS[:2])})
    exact = NeuronGroup({"s1": ModelUnits(ensemble.members[0], UNITS[:2])})
    generator, images = make_image_generator("pixels", stimulus_spec_of(natural["s1"])), {"s1": natural["s1"]}
    responses = responses_to_natural(exact, images, {})
    result, plain = (
        evolution_experiment(neurons, generator, list(images.values()), responses, **SEARCH)
        for neurons in (rough, exact)
    )
    assert np.allclose(result["best"], plain["best"] + 0.25, atol=1e-3)
    assert np.allclose(result["evolved"], plain["evolved"], atol=1e-4)


def test_repeats_without_noise_are_refused(ensemble, natural):
    with pytest.raises(V4eggError, match="repeats is 2 without spikes"):
        evolution_experiment(neurons_of("encoder", ensemble, natural), None, [], np.ones((1, 3)), **SEARCH, repeats=2)
