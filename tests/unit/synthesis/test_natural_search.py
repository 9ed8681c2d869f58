"""Natural search finds the top of a stream whatever the batches, and remembers k images of each unit."""

import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.images.pool import pool_batches
from v4egg.images.processing import Preprocess
from v4egg.io import stores
from v4egg.synthesis.natural_search import search_natural_images

UNITS = ["s-u000", "s-u001", "s-u002"]


class Mean(torch.nn.Module):
    """Unit u responds to channel u's mean."""

    units = UNITS
    weight = 1.0
    stimulus_spec = Preprocess(4, 3, [0.5] * 3, [0.2] * 3)

    def index(self, units):
        return torch.tensor([self.units.index(unit) for unit in units])

    def forward(self, images, units):
        return self.weight * images.mean((2, 3))[:, units]

    def paired(self, images, units):
        return images.mean((2, 3)).gather(1, units[:, None])[:, 0]


def pool(n=40):
    return np.random.default_rng(0).integers(0, 255, (n, 3, 4, 4), dtype=np.uint8)


def cut(images, size):
    for i in range(0, len(images), size):
        part = images[i : i + size]
        yield part, [f"i{i + j}" for j in range(len(part))]


def test_it_finds_the_top_of_the_pool_best_first():
    images = pool()
    found = search_natural_images(Mean(), UNITS[1:], cut(images, 7), k=3)
    responses = images.mean((2, 3))[:, 1:] / 255
    for u in range(2):
        order = np.argsort(-responses[:, u])[:3]
        assert found["position"].values[u].tolist() == order.tolist()
        assert np.allclose(found["response"][u], responses[order, u], atol=1e-6)
        assert np.allclose(found["image"][u], images[order] / 255, atol=1e-6)
        assert found["source"].values[u].tolist() == [f"i{i}" for i in order]
    assert np.allclose(found["mean"], responses.mean(0), atol=1e-6)
    assert np.allclose(found["sd"], responses.std(0), atol=1e-6)
    assert found.attrs["images"] == 40


@pytest.mark.parametrize("size", [1, 3, 39, 64])
def test_the_result_does_not_depend_on_the_batches(size):
    whole = search_natural_images(Mean(), UNITS, cut(pool(), 40), k=4)
    other = search_natural_images(Mean(), UNITS, cut(pool(), size), k=4)
    xr.testing.assert_allclose(whole.drop_vars("source"), other.drop_vars("source"))
    assert (whole["source"] == other["source"]).all()


def test_an_image_that_is_there_twice_counts_once_and_ties_go_to_the_earlier():
    images = pool(10)
    images[7] = images[2]
    images[2, :, 0, 0] = images[7, :, 0, 0] = 255
    images[5] = images[2][:, ::-1]  # as bright, another picture
    images[[2, 5, 7]] = np.maximum(images[[2, 5, 7]], 200)
    found = search_natural_images(Mean(), UNITS[:1], cut(images, 3), k=3)
    assert found["position"].values[0, :2].tolist() == [2, 5]
    assert 7 not in found["position"].values[0]
    with pytest.raises(V4eggError, match=r"holds 9 different images, natural\.k is 10"):
        search_natural_images(Mean(), UNITS, cut(images, 4), k=10)


def test_memory_does_not_grow_with_the_pool():
    def stream(n):
        for i in range(n):
            yield np.random.default_rng(i).integers(0, 255, (50, 3, 16, 16), dtype=np.uint8), ["x"] * 50

    def peak(n):
        tracemalloc.start()
        search_natural_images(Mean(), UNITS, stream(n), k=5)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)  # what is loaded once
    assert peak(60) < 1.5 * peak(4)


def test_a_response_that_is_not_finite_names_unit_and_image():
    class Broken(Mean):
        def forward(self, images, units):
            return super().forward(images, units) + torch.tensor([0, float("nan"), 0])

    with pytest.raises(V4eggError, match="unit s-u001 to image 0 of the pool"):
        search_natural_images(Broken(), UNITS, cut(pool(), 8), k=1)


def test_pools_are_streams(tmp_path):
    images = pool(5)
    variables = {"images": (("image", "channel", "y", "x"), images), "source": ("image", ["a"] * 5)}
    stores.save(xr.Dataset(variables), tmp_path / "pool.zarr", "pool")
    parts = list(pool_batches(tmp_path / "pool.zarr", 2))
    assert [len(names) for _, names in parts] == [2, 2, 1]
    assert np.array_equal(np.concatenate([part for part, _ in parts]), images)
