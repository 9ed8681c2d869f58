"""Consolidation and likeness of filters: known networks, known numbers, and what chance gives."""

import numpy as np
import pytest
import torch

from compact_nets import random_models, random_network
from v4egg.compact.circuits import (
    best_match_similarity,
    circuits,
    consolidation,
    filter_kernels,
    filter_responses,
    filters,
    shuffled,
    shuffled_consolidation,
)
from v4egg.compact.network import CompactModels, CompactNetwork
from v4egg.io import stores
from v4egg.seeding import torch_generator

SIZE = 24
UNITS = [f"s1-u{i:03d}" for i in range(3)]


def images(n=4):
    return torch.rand(n, 3, SIZE, SIZE, generator=torch_generator("circuits"))


def test_consolidation_is_1_for_a_collapse_and_0_for_one_width():
    widths = np.array([[100] * 5, [47, 57, 3, 7, 3], [3, 3, 9, 9, 9]])
    np.testing.assert_allclose(consolidation(widths), [0, (52 - 13 / 3) / (52 + 13 / 3), -0.5])
    chance = shuffled_consolidation(widths)
    assert chance.shape == (3, 120)
    assert chance[1].max() == pytest.approx(consolidation(widths[1]))  # no order collapses more than the published one
    assert chance[0].any() == 0


def test_likeness_of_known_vectors():
    one = np.eye(4)[:2]
    other = np.array([[1, 0, 0, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1]])
    best, matched = best_match_similarity([one, other], matched=2)
    assert best[0] == pytest.approx((1 + 0.6) / 2)
    assert best[1] == pytest.approx((1 + 0.6 + 0) / 3)
    # two of three: the first filter is among them in 2 of 3 draws, so is the second
    assert matched[0] == pytest.approx((2 / 3 * 1 + 2 / 3 * 0.6) / 2)
    assert matched[1] == pytest.approx(best[1])  # there are but two
    best, _ = best_match_similarity([one, np.zeros((0, 4)), one])
    np.testing.assert_allclose(best, [1, np.nan, 1])
    assert np.isnan(best_match_similarity([one])[0]).all()


def test_responses_are_those_of_the_layers_and_silent_filters_are_left_out():
    network = random_network((4, 5, 3, 3, 3), SIZE, "responses").ablated(0, [1])
    models = CompactModels([network], UNITS[:1], SIZE)
    found = filter_responses(network, models.centred(images()))
    maps = network.layers(models.centred(images()))
    assert len(found[0]) == 3  # one was ablated
    assert found[0].shape[1] == 4 * 14 * 14
    assert found[4].shape[1] == 4 * 6 * 6  # all places of a small map
    rows = maps[4].transpose(0, 1).flatten(1).numpy()
    alive = rows.std(1) > 0
    np.testing.assert_allclose(found[4] @ found[4].T, np.corrcoef(rows[alive]).reshape(alive.sum(), -1), atol=1e-4)
    kernels = filter_kernels(network)
    assert [part.shape[1] for part in kernels] == [75, 25, 25, 25, 25]
    assert len(kernels[0]) == 3


def test_shared_filters_are_told_from_shuffled_ones():
    """Networks with one layer 0 and layers of their own from there on: alike early, not late; shuffled: nowhere."""
    networks = [random_network((8, 6, 6, 6, 6), SIZE, unit) for unit in UNITS]
    first = {name: networks[0].get_buffer(name) for name in ("conv0_weight", "conv0_bias")}
    same = [CompactNetwork({**dict(network.named_buffers()), **first}) for network in networks]
    models = CompactModels(same, UNITS, SIZE).eval()
    unpruned = random_models(UNITS, SIZE, (9, 9, 9, 9, 9))
    found = circuits(models, images(), unpruned, seed=2)
    assert found["condition"].values.tolist() == ["models", "shuffled", "unpruned"]
    similarity = found["similarity"].sel(condition="models")
    np.testing.assert_allclose(similarity.sel(layer=0), 1, atol=1e-5)
    assert (similarity.sel(measure="kernel").isel(layer=slice(1, None)) < 0.8).all()
    assert (found["similarity"].sel(measure="kernel", layer=0, condition="shuffled") < 0.6).all()
    assert (found["matched"] <= found["similarity"] + 1e-6).all()
    assert np.array_equal(found["filters"], filters(models))


def test_circuits_are_a_store_and_shuffling_is_keyed_by_unit(tmp_path):
    models = random_models(UNITS, SIZE)
    stores.save(circuits(models, images(2), seed=1), tmp_path / "c.zarr", "circuits")
    mixed = shuffled(models, 1)
    alone = shuffled(CompactModels([models.networks[2]], UNITS[2:], SIZE), 1)
    for name, tensor in mixed.networks[2].named_buffers():
        assert torch.equal(tensor, alone.networks[0].get_buffer(name))
        before = models.networks[2].get_buffer(name)
        if tensor.ndim == 4:
            assert torch.equal(tensor.flatten(1).sort(1).values, before.flatten(1).sort(1).values)
    assert not torch.equal(mixed.networks[2].conv0_weight, models.networks[2].conv0_weight)
