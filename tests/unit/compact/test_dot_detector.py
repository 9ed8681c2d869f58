"""A planted dot detector is found among random networks, with the filters that make it one."""

import numpy as np
import pytest
import torch
import xarray as xr

from compact_nets import BARS, DIFFERENCES, DOT, SUM, planted_dot_detector, random_network
from v4egg.compact.dot_circuit import dot_circuit
from v4egg.compact.dot_detector import best_dot_detector, dot_index, dot_scores, dots_and_rivals
from v4egg.compact.network import CompactModels
from v4egg.compact.probes import probe_table
from v4egg.compact.tuning import tuning
from v4egg.errors import V4eggError

SIZE = 56
TABLE = probe_table(places=2, samples=1)
TABLE = TABLE[~TABLE["phase"].isin([90, 270]) & ~((TABLE["stimulus_class"] == "contour") & (TABLE["x"] != TABLE["y"]))]
PLANTED = "s1-u002"


@pytest.fixture(scope="module")
def models():
    networks = [random_network((4, 4, 3, 3, 3), SIZE, i) for i in range(4)]
    networks[2] = planted_dot_detector(SIZE)
    return CompactModels(networks, [f"s1-u{i:03d}" for i in range(4)], SIZE).eval()


@pytest.fixture(scope="module")
def tuned(models):
    return tuning(models, TABLE, SIZE)


@pytest.fixture(scope="module")
def circuit(models, tuned):
    return dot_circuit(models, tuned, PLANTED, draws=4, per_class=6, seed=1)


def test_the_index_compares_the_best_dot_with_the_best_rival():
    dots, rivals = np.array([True, True, False, False]), np.array([False, False, True, True])
    responses = np.array([[3.0, 1, 1, -5], [-1, -2, 4, 0], [1, 2, 2, 0], [-1, -1, -1, -1]])
    np.testing.assert_allclose(dot_index(responses, dots, rivals), [0.5, -1, 0, np.nan])
    small, others = dots_and_rivals(TABLE)
    assert not (small & others).any()
    assert (small | others).sum() == len(TABLE) - 1  # all but the ground
    assert set(TABLE.loc[small, "stimulus_class"]) == {"dot", "dots"}
    assert TABLE.loc[small, "size"].max() == 0.14


def test_the_planted_detector_is_found_among_random_networks(tuned):
    scores = dot_scores(tuned)
    assert best_dot_detector(scores) == PLANTED
    index = scores["dot_index"].to_series()
    assert index[PLANTED] > 0.5
    assert index.drop(PLANTED).max() < 0.3
    assert str(scores["dot_probe"].sel(unit=PLANTED).values).startswith("dots-size0.07")


def test_its_filters_are_those_that_were_planted(circuit):
    for layer, filters in enumerate((BARS, (SUM,), DOT[:1], DOT[1:2], DOT[2:])):
        contribution = circuit["contribution"].values[layer]
        inside = np.isin(np.arange(len(contribution)), filters)
        assert contribution[inside].max() > 0.9 * circuit.attrs["selectivity"]
        if layer:
            assert np.nanmax(contribution[~inside], initial=0) < 0.05 * circuit.attrs["selectivity"]
            assert circuit["rank"].values[layer, 0] == filters[0]
    assert set(circuit["rank"].values[0]) < set(BARS)
    rivals = circuit["rival_contribution"].values[1]
    assert (rivals[list(DIFFERENCES)] <= 0).all()  # they keep lines and gratings down
    assert rivals[list(DIFFERENCES)].min() < -0.1
    later = circuit["filter_index"].values
    assert later[2, DOT[0]] > 0.5 > np.nanmax(later[0])  # the preference is made on the way


def test_without_its_filters_it_is_no_dot_detector_but_without_drawn_ones_it_may_be(circuit):
    assert circuit["removed"].values.tolist() == [1, 2, 4]
    chosen, drawn = circuit["ablated"].values, circuit["ablated_random"].values
    assert chosen[1, 0] < 0.1
    assert np.median(drawn[1, 0]) > chosen[1, 0] + 0.3
    assert np.isnan(chosen[2:, 2]).all()  # three filters: four cannot go
    assert np.nanmax(chosen[:, 0] - drawn[:, 0].min(-1)) < 1e-6


def test_ablation_from_kept_maps_is_the_ablated_network(models, tuned):
    """What the circuit says of one filter is what the network without it says of the same probes."""
    found = dot_circuit(models, tuned, "s1-u001", draws=1, per_class=4)
    network = models.networks[1]
    without = CompactModels([network.ablated(0, [3])], ["s1-u001"], SIZE)
    again = dot_scores(tuning(without, TABLE, SIZE))
    intact = dot_scores(tuned.sel(unit=["s1-u001"]))
    lost = intact["dot_response"].values - again["dot_response"].values
    assert found["contribution"].values[0, 3] == pytest.approx(lost[0], rel=0.02, abs=1e-3)
    assert found.attrs["selectivity"] < 0  # it prefers a rival: there is no preference to lose
    assert found["ablated"].isnull().all()
    with torch.no_grad():
        seen = models.centred(torch.rand(2, 3, SIZE, SIZE))
        kept = network.layers(seen)[1].clone()
        kept[:, 2] = 0
        expected = network.ablated(1, [2])(seen)
        torch.testing.assert_close(network.read_out(network.later_layers(kept, 1)[-1]), expected)


def test_maps_and_flow_are_of_the_shown_filters(circuit, models):
    maps, flow = circuit["map"].values, circuit["flow"].values
    assert maps.shape == (5, 3, 2, SIZE, SIZE)
    assert maps[2, 0, 0].max() > 3 * maps[2, 0, 1].max()  # the dot filter all but ignores the rival
    assert np.isnan(flow[0]).all()
    assert (flow[1, 0] > 0).all()  # bars give to their sum
    shown = list(circuit["rank"].values[3])
    assert flow[4, 0, shown.index(DOT[1])] == pytest.approx(np.nanmax(flow[4, 0]))


def test_what_cannot_be_searched_is_one_line(models, tuned):
    with pytest.raises(V4eggError, match="no unit s1-u009"):
        dot_circuit(models, tuned, "s1-u009")
    silent = xr.Dataset({"dot_index": ("unit", [np.nan])}, {"unit": ["s1-u000"]})
    with pytest.raises(V4eggError, match="no unit responds to any probe"):
        best_dot_detector(silent)
