"""Cost and trajectories: the right numbers, and references that are missing."""

import pytest
from figure_stores import rendered, save_mei, texts

from v4egg.errors import V4eggError
from v4egg.figures import compute_time


def test_compute_time_table(arguments):
    table = compute_time.table(*arguments["compute_time"])
    guided = table.query("method == 'energy_guided' and arch == 'attention'")
    seconds = guided[guided["measure"] == "seconds"].set_index("statistic")["value"]
    assert seconds["mean"] == pytest.approx(2.0)
    assert seconds["ratio"] == pytest.approx(3.0)
    assert len(seconds["image"]) == 6 * 2
    evaluations = guided[guided["measure"] == "evaluations"].set_index("statistic")["value"]
    assert evaluations["ratio"] == pytest.approx(50 / 40)
    climb = guided.query("measure == 'relative_activation' and statistic == 'median'")
    assert climb["step_fraction"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert climb["value"].iloc[-1] == pytest.approx(3 / 4)  # every unit by gradient ascent's own end
    assert not table.query("method == 'gradient_ascent'")["statistic"].eq("ratio").any()


def test_compute_time_prints_the_ratio(arguments):
    assert any("3.0× less" in text for text in texts(compute_time.draw(*arguments["compute_time"])))


def test_compute_time_of_one_unit_one_step_and_no_reference(tmp_path):
    lone = save_mei(tmp_path / "lone.zarr", "energy_guided", "attention", 1, 1, steps=1)
    table = compute_time.table([lone])
    assert set(table["measure"]) == {"seconds", "evaluations"}  # nothing to normalise trajectories by
    assert "attention" in texts(rendered(compute_time.draw([lone])))


def test_units_that_gradient_ascent_left_at_zero_have_no_scale(tmp_path):
    reference = save_mei(tmp_path / "ga.zarr", "gradient_ascent", "attention", 2, 1, final=0.0)
    table = compute_time.table([reference])
    assert not table["measure"].eq("relative_activation").any()


def test_compute_time_without_stores():
    with pytest.raises(V4eggError, match="no mei stores"):
        compute_time.draw([])
