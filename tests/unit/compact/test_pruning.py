"""Pruning: what counts for nothing goes, what is rebuilt equals what is masked."""

import numpy as np
import pytest
import torch

from compact_nets import active_network, centred_images
from v4egg.compact.network import CompactNetwork, depthwise
from v4egg.compact.pruning import activity, masked, pruned, r2, rebuilt, surviving_filters

WIDTHS = (6, 7, 5, 6, 8)
KEEP = {"keep_r2": 0.9, "keep_output": 0.9}


@pytest.fixture(scope="module")
def images():
    return centred_images(40)


@pytest.fixture(scope="module")
def network():
    return active_network(WIDTHS, "pruned")


def with_noise(responses, share=0.05):
    rng = np.random.default_rng(0)
    return responses + share * responses.std() * rng.standard_normal(len(responses))


def teacher_of(network, images):
    return with_noise(network(images).double().numpy())


def test_activity_is_that_of_the_layers(network, images):
    seen = activity(network, images, batch=7)
    filtered = depthwise(network.layers(images)[1], network.depthwise2, 2).double()
    flat = filtered.permute(1, 0, 2, 3).flatten(1).numpy()
    np.testing.assert_allclose(seen.mean[1], flat.mean(1), rtol=1e-4)
    np.testing.assert_allclose(seen.covariance[1], np.cov(flat, ddof=0), rtol=1e-3, atol=1e-3 * flat.var())
    whole = seen.contributions.sum(1) + float(network.readout_bias)
    np.testing.assert_allclose(whole, network(images).numpy(), rtol=1e-3, atol=1e-3)


def test_rebuilt_equals_masked(network, images):
    seen = activity(network, images)
    kept = surviving_filters(network, seen, teacher_of(network, images), **KEEP)
    assert sum(map(len, kept)) < sum(WIDTHS)
    small, whole = rebuilt(masked(network, seen, kept), kept), masked(network, seen, kept)
    assert small.widths == tuple(map(len, kept))
    assert whole.widths == WIDTHS
    scale = whole(images).abs().max()
    torch.testing.assert_close(small(images) / scale, whole(images) / scale, rtol=0, atol=1e-5)
    for few, many, stay in zip(small.layers(images), whole.layers(images), kept, strict=True):
        torch.testing.assert_close(few, many[:, stay], rtol=1e-4, atol=1e-5 * float(many.abs().max()))


def test_criteria_hold(network, images):
    teacher = teacher_of(network, images)
    seen = activity(network, images)
    kept = surviving_filters(network, seen, teacher, **KEEP)
    last = seen.contributions[:, kept[4]].sum(1)
    assert r2(last, teacher) > 0.9 * r2(seen.contributions.sum(1), teacher)
    maps = network.layers(images)
    for layer in range(4):  # by the pointwise outputs themselves instead of the covariances
        weights = network.get_buffer(f"pointwise{layer + 1}_weight")[kept[layer + 1]][:, :, 0, 0]
        filtered = depthwise(maps[layer], network.get_buffer(f"depthwise{layer + 1}"), network.strides[layer])
        whole = torch.einsum("oc,bchw->obhw", weights, filtered).flatten(1)
        left = torch.einsum("oc,bchw->obhw", weights[:, kept[layer]], filtered[:, kept[layer]]).flatten(1)
        lost = (whole - left).var(1, correction=0).sum() / whole.var(1, correction=0).sum()
        assert lost <= 0.1 + 1e-4
        assert len(kept[layer]) >= 3


def silenced(network, layer, filters):
    """A network where the next layer (or the readout) listens to some filters ten thousand times less."""
    tensors = {name: tensor.clone() for name, tensor in network.named_buffers()}
    if layer == 4:
        tensors["readout_weight"][filters] *= 1e-4
    else:
        tensors[f"pointwise{layer + 1}_weight"][:, filters] *= 1e-4
    return CompactNetwork(tensors, network.strides)


@pytest.mark.parametrize("layer", range(5))
def test_filters_that_count_for_nothing_go(network, images, layer):
    found = silenced(network, layer, [0, 3])
    kept = surviving_filters(
        found, activity(found, images), teacher_of(found, images), keep_r2=0.999, keep_output=0.9999
    )
    assert not {0, 3} & set(kept[layer])


def test_three_filters_stay(network, images):
    small = pruned(network, images, teacher_of(network, images), keep_r2=-1, keep_output=-1)
    assert small.widths == (3,) * 5


def test_nothing_goes_where_all_has_to_be_kept(network, images):
    whole = pruned(network, images, teacher_of(network, images), keep_r2=1, keep_output=1)
    assert whole.widths[:4] == WIDTHS[:4]
    assert r2(whole(images).numpy(), network(images).numpy()) > 0.99
