"""Cores: shapes, and the penalty that smooths their first kernels where they lie on the image."""

import typing

import pytest
import torch
import torch.nn.functional as F

from v4egg.encoders.cores import DepthSeparableCore, ResidualCore, make_core, roughness
from v4egg.encoders.registry import CORES
from v4egg.errors import V4eggError
from v4egg.registry import load

SMALL = {"residual": {"channels": 8, "blocks": 1}, "depth_separable": {"channels": 8, "layers": 1, "first_kernel": 5}}


def small(name, **options):
    torch.manual_seed(0)
    return make_core(name, 3, **SMALL[name], **options)


def bumps(n=4, size=9, width=2.0):
    """Gaussian kernels (n, 1, size, size)."""
    axis = torch.arange(size) - size // 2
    return torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * width**2)).expand(n, 1, -1, -1)


def test_depth_separable_core_shrinks_in_its_first_layer_only():
    core = DepthSeparableCore().eval()
    with torch.no_grad():
        assert core(torch.zeros(1, 1, 100, 100)).shape == (1, 96, 92, 92)
    assert make_core("depth_separable", 3, first_stride=2).eval()(torch.zeros(1, 3, 56, 56)).shape == (1, 96, 24, 24)


def test_depth_separable_core_has_the_papers_layers():
    kernels = [tuple(p.shape) for p in DepthSeparableCore().parameters() if p.ndim == 4]
    layer = [(96, 96, 1, 1), (96, 1, 5, 5), (96, 96, 1, 1)]
    assert kernels == [(96, 1, 9, 9), *4 * layer]
    names = [type(module).__name__ for module in DepthSeparableCore(layers=1)]
    assert names == ["Conv2d", "BatchNorm2d", "ELU", "Conv2d", "Conv2d", "Conv2d", "BatchNorm2d", "ELU"]


def test_depth_separable_core_is_local():
    core = small("depth_separable").eval()
    images = torch.rand(1, 3, 20, 20, requires_grad=True)
    core(images)[0, :, 8, 8].sum().backward()
    seen = images.grad.abs().sum((0, 1)).nonzero()
    assert seen.min() == 8 - 2  # a 5x5 depthwise kernel around row 8 of the map
    assert seen.max() == 8 + 2 + 4  # whose every place saw 5 pixels from its own on


@pytest.mark.parametrize("kernels", [torch.ones(3, 2, 9, 9), torch.zeros(3, 2, 9, 9), torch.randn(3, 2, 1, 1)])
def test_constant_kernels_have_no_roughness(kernels):
    assert roughness(kernels) == 0


def test_roughness_of_one_pixel_is_its_laplacian():
    dot = F.pad(torch.ones(1, 1, 1, 1), (3, 3, 3, 3))
    assert roughness(dot) == 4**2 + 4


def test_roughness_orders_kernels_and_knows_no_scale():
    torch.manual_seed(0)
    noise, checks = torch.randn(4, 1, 9, 9), torch.tensor([1.0, -1.0]).repeat(50)[:81].reshape(1, 1, 9, 9)
    assert roughness(bumps(width=3.0)) < roughness(bumps(width=1.0)) < roughness(noise) < roughness(checks) <= 64
    scales = torch.rand(4, 1, 1, 1) * 100 + 0.01
    assert torch.allclose(roughness(noise * scales), roughness(noise))
    assert torch.allclose(roughness(-noise), roughness(noise))


def test_pixel_kernels_are_the_residual_cores_first_layer_on_pixels():
    core, images = small("residual"), torch.randn(2, 3, 16, 16)
    kernels = core.pixel_kernels()
    assert kernels.shape == (8, 3, 10, 10)
    on_pixels = F.conv2d(images, kernels, stride=2, padding=4)
    assert torch.allclose(on_pixels, core[1](core[0](images)), atol=1e-5)


def test_residual_core_is_smoothed_across_the_pixels_of_a_block():
    core = small("residual", smoothness=1.0)
    with torch.no_grad():
        core[1].weight[:] = F.pixel_unshuffle(bumps(24, 10, 3.0).reshape(8, 3, 10, 10), 2)
        smooth = core.penalty()
        core[1].weight[:] = core[1].weight[:, torch.arange(12).flip(0)]  # each channel smooth as before, blocks turned
    assert smooth < 0.5 < core.penalty()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_penalty_smooths_the_first_kernels_and_nothing_else(name):
    assert small(name).penalty() == 0
    core = small(name, smoothness=0.5)
    assert core.penalty().shape == ()
    assert torch.allclose(small(name, smoothness=1.0).penalty(), 2 * core.penalty())
    core.penalty().backward()
    touched = [key for key, parameter in core.named_parameters() if parameter.grad is not None]
    assert touched == [next(key for key, parameter in core.named_parameters() if parameter.ndim == 4)]
    before = core.penalty().item()
    optimizer = torch.optim.Adam(core.parameters(), 0.01)
    for _ in range(20):
        optimizer.zero_grad()
        core.penalty().backward()
        optimizer.step()
    assert core.penalty().item() < 0.8 * before


def test_smoothness_leaves_a_cores_map_and_weights_alone():
    plain, smoothed = small("residual").eval(), small("residual", smoothness=1.0).eval()
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(plain(images), smoothed(images))
    assert plain.state_dict().keys() == smoothed.state_dict().keys()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_gradients_reach_all_parameters(name):
    core = small(name)
    core(torch.randn(2, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in core.parameters())


def test_mistakes_are_one_line():
    with pytest.raises(V4eggError, match="'depth_separable': option 'blocks' is unknown; known: channels") as caught:
        make_core("depth_separable", 3, blocks=2)
    assert "\n" not in str(caught.value)
    with pytest.raises(V4eggError, match="kernel is 4; use an odd"):
        make_core("depth_separable", 3, kernel=4)
    with pytest.raises(V4eggError, match="first_kernel 9 does not fit images of 8 px"):
        make_core("depth_separable", 3)(torch.zeros(1, 3, 8, 8))


def test_every_registered_core_has_a_penalty():
    cores = [typing.get_type_hints(load(entry.target).build)["return"] for entry in CORES.values()]
    assert [core for core in cores if not callable(getattr(core, "penalty", None))] == []


def test_unusual_but_valid_cores_are_made():
    assert isinstance(make_core("residual", 1, first_kernel=3, smoothness=1.0), ResidualCore)
    assert DepthSeparableCore(3, 8, layers=0, first_kernel=1).eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 8, 8, 8)
