"""Readouts: what all of them promise, and the factorized one against its equation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from v4egg import load_encoder
from v4egg.encoders.cores import roughness
from v4egg.encoders.encoder import Encoder
from v4egg.encoders.readouts import REFITTED, FactorizedReadout, make_readout
from v4egg.encoders.registry import READOUTS
from v4egg.errors import V4eggError

SHAPE, N_UNITS = (6, 4, 5), 5


def readout(name, **options):
    torch.manual_seed(0)
    return make_readout(name, SHAPE, N_UNITS, **options)


def features(n=4):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", sorted([*READOUTS, *REFITTED]))
@settings(max_examples=20, deadline=None)
@given(units=st.lists(st.integers(0, N_UNITS - 1), min_size=1, max_size=8))
def test_subsets_are_columns_and_paired_is_the_diagonal(name, units):
    model, index = readout(name).eval(), torch.tensor(units)
    seen = features(len(units))
    everything = model(seen)
    assert everything.shape == (len(units), N_UNITS)
    assert torch.allclose(model(seen, index), everything[:, index], atol=1e-5)
    assert torch.allclose(model.paired(seen, index), everything[torch.arange(len(units)), index], atol=1e-5)


@pytest.mark.parametrize("name", sorted([*READOUTS, *REFITTED]))
def test_gradients_reach_all_parameters_of_the_asked_units_only(name):
    model = readout(name).train()  # the Gaussian readout's sigma acts in training only
    units = torch.tensor([0, 3])
    model(features(), units).square().sum().backward()
    for parameter in model.parameters():
        if len(parameter) != N_UNITS:  # shared by all units
            assert parameter.grad.abs().sum() > 0
            continue
        used = parameter.grad.reshape(N_UNITS, -1).abs().sum(1) > 0
        assert used.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("name", sorted([*READOUTS, *REFITTED]))
def test_penalty_is_a_scalar_that_is_nothing_without_weights(name):
    units = torch.tensor([1, 2])
    assert readout(name).penalty(units).shape == ()
    assert readout(name).penalty(units) == 0
    assert readout(name, l1=0.1).penalty(units) > 0


def test_factorized_readout_is_its_equation():
    model, seen = readout("factorized"), features(1)
    with torch.no_grad():
        model.mask.normal_()
        model.bias.normal_()
    for unit in range(N_UNITS):
        expected = (model.mask[unit] * (model.feature[unit][:, None, None] * seen[0]).sum(0)).sum() + model.bias[unit]
        assert torch.allclose(model(seen)[0, unit], expected, atol=1e-4)


def test_factorized_readout_starts_at_order_one_of_any_map():
    torch.manual_seed(0)
    for shape in [(64, 14, 14), (96, 92, 92), (8, 2, 2)]:
        model = FactorizedReadout(shape, n_units=200)
        picture_wide = torch.randn(8, shape[0], 1, 1).expand(8, *shape)
        assert 0.5 < model(picture_wide).std() < 2
        assert model.mask.std() > 0  # units and places differ


def test_factorized_readout_learns_where_and_what():
    torch.manual_seed(0)
    model, seen = readout("factorized"), torch.randn(256, *SHAPE)
    target = torch.stack([seen[:, 2, 3, 1], -seen[:, 5, 0, 4]], 1)
    units, optimizer = torch.tensor([0, 4]), torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        loss = (model(seen, units) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    assert model.mask[0].abs().argmax() == 3 * 5 + 1
    assert model.mask[4].abs().argmax() == 4
    assert model.feature[0].abs().argmax() == 2
    assert model.feature[4].abs().argmax() == 5
    assert model.mask[4, 0, 4] * model.feature[4, 5] < -0.7  # an inhibited unit: the mask or the feature is negative


def test_factorized_penalties_go_by_name():
    units = torch.tensor([1, 3])
    plain = readout("factorized")
    mask, feature = plain.mask[units], plain.feature[units]
    assert torch.allclose(readout("factorized", l1=0.3).penalty(units), 0.3 * feature.abs().mean())
    assert torch.allclose(readout("factorized", mask_l1=0.3).penalty(units), 0.3 * mask.abs().mean())
    assert torch.allclose(readout("factorized", smoothness=0.3).penalty(units), 0.3 * roughness(mask[:, None]))
    every = readout("factorized", l1=0.3, mask_l1=0.2, smoothness=0.1).penalty(units)
    assert torch.allclose(every, 0.3 * feature.abs().mean() + 0.2 * mask.abs().mean() + 0.1 * roughness(mask[:, None]))


def test_mask_smoothness_is_zero_for_even_masks_and_smooths_others():
    model, units = readout("factorized", smoothness=1.0), torch.arange(N_UNITS)
    with torch.no_grad():
        model.mask.normal_()
        rough = model.penalty(units)
        model.mask[:] = torch.linspace(0, 1, 5)
        assert 0 < model.penalty(units) < rough / 10
        model.mask[:] = torch.rand(N_UNITS, 1, 1) - 0.5
        assert model.penalty(units) == 0
        model.mask.zero_()
    model.penalty(units).backward()  # a unit that sees nothing has a gradient all the same
    assert torch.isfinite(model.mask.grad).all()


def test_the_papers_core_and_a_factorized_readout_make_an_encoder(tmp_path):
    torch.manual_seed(0)
    core = {"name": "depth_separable", "channels": 8, "layers": 1, "first_stride": 2, "smoothness": 0.1}
    spec = {"core": core, "readout": {"name": "factorized", "smoothness": 0.1}, "output": "elu+1"}
    spec |= {"size": 16, "channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3}
    model = Encoder(["s1-u000", "s1-u001", "s1-u002"], spec).eval()
    images, units = torch.rand(3, 3, 20, 20), torch.tensor([2, 0, 2])
    assert model.readout.mask.shape == (3, 4, 4)
    assert torch.allclose(model.paired(images, units), model(images)[torch.arange(3), units], atol=1e-5)
    model.save(tmp_path / "m0.zarr", arch="paper", member="m0", role="generator")
    assert torch.equal(load_encoder(tmp_path / "m0.zarr")(images), model(images))
    (model.core.penalty() + model.readout.penalty(units)).backward()


def test_unknown_option_is_one_line():
    with pytest.raises(V4eggError, match="readout 'factorized': option 'sigma' is unknown; known: l1") as caught:
        make_readout("factorized", SHAPE, N_UNITS, sigma=0.2)
    assert "\n" not in str(caught.value)
