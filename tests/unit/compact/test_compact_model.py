"""Compact networks: what the rest of the workflow asks of them, at any size, and as stores."""

import numpy as np
import pytest
import torch

from compact_nets import SIZE, active_network, centred_images
from v4egg.compact.model import CompactModels, load_compact_models, networks_dataset
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.seeding import torch_generator

UNITS = ["a-u000", "a-u001"]


def models(stage="distilled", widths=((4, 5, 3, 6, 3), (3, 3, 4, 3, 5))):
    return CompactModels([active_network(w, stage) for w in widths], UNITS, SIZE)


@pytest.mark.parametrize(
    ("size", "strides", "side"), [(20, (2, 2, 1, 1), 5), (21, (2, 2, 1, 1), 6), (12, (1, 2, 1, 2), 3)]
)
def test_layers_and_readout_at_any_size(size, strides, side):
    network = active_network((4, 5, 3, 6, 2), size=size, strides=strides)
    maps = network.layers(centred_images(size=size))
    assert [m.shape[1] for m in maps] == [4, 5, 3, 6, 2] == list(network.widths)
    assert maps[-1].shape[2:] == (side, side) == network.readout_map.shape[1:]
    expected = (maps[-1] * network.readout_map).sum((1, 2, 3)) + network.readout_bias
    torch.testing.assert_close(network(centred_images(size=size)), expected)


def test_parameters_of_the_published_size():
    network = active_network((100,) * 5, size=112)
    # Cowley et al. 2026 count 138,401, with four numbers of batch norm for each of the 500 filters
    assert network.parameters_count + 4 * sum(network.widths) == 138_401


@pytest.mark.parametrize("layer", range(5))
def test_ablation_silences_those_filters_alone(layer):
    network = active_network((4, 5, 3, 6, 3))
    before, after = network.layers(centred_images()), network.ablated(layer, [0, 2]).layers(centred_images())
    assert before[layer][:, [0, 2]].abs().sum() > 0
    assert after[layer][:, [0, 2]].abs().sum() == 0
    torch.testing.assert_close(after[layer][:, 1], before[layer][:, 1])
    torch.testing.assert_close(after[:layer], before[:layer])
    assert not torch.allclose(network.ablated(layer, [0, 2])(centred_images()), network(centred_images()))


def test_ablation_of_what_is_not_there():
    with pytest.raises(V4eggError, match="layer 5: a compact network has layers 0 to 4"):
        active_network((3,) * 5).ablated(5, [0])
    with pytest.raises(V4eggError, match="filter 3: layer 1 has 3 filters"):
        active_network((3,) * 5).ablated(1, [3])


def test_grey_images_are_those_of_equal_channels():
    grey = torch.rand(2, 1, 31, 31, generator=torch_generator("grey"))
    torch.testing.assert_close(models()(grey), models()(grey.expand(-1, 3, -1, -1)))


def test_stages_come_back_from_their_store(tmp_path):
    widths = {
        "distilled": ((4, 5, 3, 6, 3), (3, 3, 4, 3, 5)),
        "pruned": ((3,) * 5, (3, 3, 3, 3, 4)),
        "retrained": ((3,) * 5, (3, 3, 3, 3, 4)),
    }
    made = {stage: models(stage, w) for stage, w in widths.items()}
    networks = {stage: list(found.networks) for stage, found in made.items()}
    stores.save(networks_dataset(networks, UNITS, SIZE, (2, 2, 1, 1)), tmp_path / "s.zarr", "compact")
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch_generator("images"))
    for stage, found in made.items():
        loaded = load_compact_models(tmp_path / "s.zarr", stage)
        assert loaded.units == UNITS
        torch.testing.assert_close(loaded(images), found(images))
    torch.testing.assert_close(load_compact_models(tmp_path / "s.zarr")(images), made["retrained"](images))
    assert np.array_equal(stores.load(tmp_path / "s.zarr")["filters"][0], widths["distilled"])
    with pytest.raises(V4eggError, match="no stage 'early'"):
        load_compact_models(tmp_path / "s.zarr", "early")
