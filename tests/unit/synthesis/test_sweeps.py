"""Series along lambda and along diversity: what the setting does, whatever the batches, and under every judge."""

import numpy as np
import pytest
import torch
import xarray as xr

from small_models import save_small_prior, small_encoder, small_ensemble
from v4egg.encoders.response_scale import deviations, recorded_responses
from v4egg.errors import V4eggError
from v4egg.evaluation.judges import Judge
from v4egg.evaluation.transfer import join_architectures, judge_series
from v4egg.io import stores
from v4egg.recordings.responses import Responses
from v4egg.synthesis.sweeps import synthesize_sweep

UNITS = [f"s1-u{i:03d}" for i in range(3)]
COMMON = {
    "steps": 6,
    "sampler": "ancestral",
    "guidance": "full",
    "norm": None,
    "uncertainty_penalty": 0,
    "jitter": {"copies": 0},
}
MENI = {**COMMON, "energy_scales": [0, 1, 8], "samples": 2}
DIVERSE = {**COMMON, "weights": [0, 50], "images": 3, "energy_scale": 6.0}


@pytest.fixture(scope="module")
def generators():
    return small_ensemble(UNITS)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return save_small_prior(tmp_path_factory.mktemp("prior") / "prior.zarr")


def make(sweep, generators, prior, units=UNITS, **options):
    options = {**(MENI if sweep == "meni" else DIVERSE), **options}
    scale = dict.fromkeys(UNITS, 0.5)
    return synthesize_sweep(sweep, generators, units, options, deviations=scale, prior=prior)


def test_lambda_raises_the_response_from_the_same_noise(generators, prior):
    series = make("meni", generators, prior)
    assert series["image"].dims == ("unit", "setting", "sample", "channel", "y", "x")
    assert series["setting"].values.tolist() == [0, 1, 8]
    response = series["activation"].mean("sample")
    assert (response.sel(setting=8) > response.sel(setting=0)).all()
    plain = series["image"].sel(setting=0)
    assert np.allclose(plain.isel(unit=0).values, make("meni", generators, prior, UNITS[:1])["image"][0, 0], atol=1e-5)
    assert (series["evaluations"] == 6).all()


def test_the_weight_of_diversity_makes_a_unit_s_images_differ(generators, prior):
    series = make("diverse", generators, prior)
    flat = series["image"].values.reshape(3, 2, 3, -1)
    similarity = np.array([[np.corrcoef(group)[np.triu_indices(3, 1)].mean() for group in unit] for unit in flat])
    assert (similarity[:, 1] < similarity[:, 0]).all()
    assert (
        series["activation"].sel(setting=0).mean("sample") > series["activation"].sel(setting=50).mean("sample")
    ).any()


@pytest.mark.parametrize("sweep", ["meni", "diverse"])
def test_any_chunking_of_units_gives_the_same(sweep, generators, prior):
    whole = make(sweep, generators, prior)
    parts = [make(sweep, generators, prior, UNITS[:1]), make(sweep, generators, prior, UNITS[1:])]
    parted = np.concatenate([part["image"] for part in parts])
    assert np.allclose(parted, whole["image"], atol=1e-5)
    empty = make(sweep, generators, prior, [])
    assert empty.sizes["unit"] == 0
    assert set(empty.dims) == set(whole.dims)


def test_an_unknown_family_is_named(generators, prior):
    with pytest.raises(V4eggError, match="sweep 'mini' is unknown; did you mean 'meni'\? Known: meni, diverse"):
        synthesize_sweep("mini", generators, UNITS, MENI, prior=prior)


def test_every_image_gets_its_unit_s_response_from_every_judge(generators, tmp_path):
    images = torch.rand(3, 2, 2, 3, 16, 16)
    dims = ("unit", "setting", "sample", "channel", "y", "x")
    series = xr.DataArray(images.numpy(), dims=dims, coords={"unit": UNITS, "setting": [1.0, 2.0]})
    judges = [Judge("generators", [generators], True), Judge("nobody", [], False)]
    found = judge_series(series, judges)
    expected = generators(images.flatten(0, 2)).view(3, 2, 2, 3)[0, 1, 1, 0]
    assert float(found["activation"].sel(judge="generators")[0, 1, 1]) == pytest.approx(float(expected), abs=1e-5)
    assert found["activation"].sel(judge="nobody").isnull().all()
    assert found["shares_weights"].values.tolist() == [True, False]
    lone = judge_series(series.isel(setting=[0]), judges[:1])
    assert judge_series(series.isel(setting=0, drop=True), judges).sizes == {**found.sizes, "setting": 1}
    both = join_architectures({"a": found.isel(setting=[0]), "b": lone})
    assert both["activation"].sel(arch="b", judge="nobody").isnull().all()
    stores.save(both, tmp_path / "judged.zarr", "judged")


def test_responses_in_the_encoder_s_units(generators):
    counts = np.random.default_rng(0).poisson(3, (10, 2, 3)).astype(np.float32)
    ones = np.ones(3, np.float32)
    chosen = np.array([True, False, True])
    split = np.array(["train"] * 10)
    responses = Responses(
        "s1", [str(i) for i in range(10)], UNITS, counts, split, ones, ones, 3 * ones, 2 * ones, chosen
    )
    zscored = recorded_responses(responses, generators.members[0])
    assert np.allclose(zscored, (counts.mean(1) - 3)[:, chosen] / 2)
    poisson = small_encoder(UNITS, output="elu+1")
    assert np.allclose(recorded_responses(responses, poisson), counts.mean(1)[:, chosen])
    assert deviations([responses], generators.members[0]) == {"s1-u000": 1.0, "s1-u002": 1.0}
    assert deviations([responses], poisson) == {"s1-u000": 2.0, "s1-u002": 2.0}
