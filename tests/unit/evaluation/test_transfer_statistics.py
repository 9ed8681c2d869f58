"""Statistics of transfer: shares, intervals and paired tests, by session and pooled."""

import numpy as np
import pytest
import xarray as xr

from v4egg.evaluation.transfer_statistics import against_natural, between_methods
from v4egg.stats.inference import huber_slope, paired_wilcoxon

METHODS = ["gradient_ascent", "energy_guided", "model_selected_natural", "noise"]


@pytest.fixture
def best():
    """Two sessions of four units; energy guided images beat gradient ascent by 0.5 in all units but one."""
    units = [f"{session}-u{i:03d}" for session in ("s1", "s2") for i in range(4)]
    ascent = np.array([0.2, 0.8, 1.2, np.nan, 0.1, 0.4, 0.9, 2.0])
    guided = ascent + 0.5
    guided[-1] = 1.5
    values = np.stack([ascent, guided, np.ones(8), np.zeros(8)])
    dims = ("method", "arch", "unit", "judge")
    coords = {"method": METHODS, "arch": ["attention"], "unit": units, "judge": ["published"]}
    return xr.Dataset({"normalized_activation": (dims, values[:, None, :, None])}, coords)


@pytest.fixture
def shares_weights():
    return xr.DataArray([[False]], {"arch": ["attention"], "judge": ["published"]}, ("arch", "judge"))


def test_shares_and_medians_by_session_and_pooled(best, shares_weights):
    table = against_natural(best, shares_weights).set_index(["session", "method"])
    assert list(dict.fromkeys(table.index.get_level_values("session"))) == ["all", "s1", "s2"]
    guided = table.loc[("all", "energy_guided")]
    assert (guided["n"], guided["share_above"]) == (7, pytest.approx(4 / 7))
    assert guided["median"] == pytest.approx(1.3)
    assert guided["low"] <= guided["median"] <= guided["high"]
    assert table.loc[("s1", "gradient_ascent"), "n"] == 3
    assert table.loc[("s2", "noise"), "median"] == 0
    assert not table["shares_weights"].any()


def test_methods_are_paired_over_units_that_have_both(best, shares_weights):
    table = between_methods(best, shares_weights)
    assert set(zip(table["method"], table["against"], strict=True)) == {("energy_guided", "gradient_ascent")}
    pooled = table.set_index("session").loc["all"]
    x, y = (best["normalized_activation"].values[i, 0, :, 0] for i in (0, 1))
    assert (pooled["n"], pooled["share_won"]) == (7, pytest.approx(6 / 7))
    assert pooled["difference"] == pytest.approx(0.5)
    assert pooled["p_value"] == pytest.approx(paired_wilcoxon(y, x).p_value)
    assert pooled["effect"] > 0
    assert pooled["slope"] == pytest.approx(huber_slope(x, y))


def test_one_session_is_not_reported_twice(best, shares_weights):
    one = best.isel(unit=slice(0, 4))
    assert set(against_natural(one, shares_weights)["session"]) == {"all"}


def test_a_judge_that_an_architecture_lacks_has_no_rows(best, shares_weights):
    absent = best.where(False)
    assert against_natural(absent, shares_weights).empty
    assert between_methods(absent, shares_weights).empty
