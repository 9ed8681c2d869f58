"""Cost and trajectories: the right numbers, and references that are missing."""

import pytest

from figure_stores import draw, rendered, save_mei, texts
from v4egg.errors import V4eggError
from v4egg.figures import compute_time
from v4egg.io import stores


def test_compute_time_table(arguments):
    table = compute_time.table(*arguments["compute_time"])
    guided = table.query("method == 'energy_guided' and arch == 'attention'")
    seconds = guided[guided["measure"] == "seconds"].set_index("statistic")["value"]
    assert seconds["mean"] == pytest.approx(2.0)
    assert seconds["ratio"] == pytest.approx(3.0)
    assert len(seconds["image"]) == 6 * 2
    evaluations = guided[guided["measure"] == "evaluations"].set_index("statistic")["value"]
    assert evaluations["ratio"] == pytest.approx(50 / 40)
    climb = guided.query("measure == 'fraction_of_gradient_ascent' and statistic == 'median'")
    assert climb["step_fraction"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert climb["value"].iloc[-1] == pytest.approx(3 / 4)  # every unit by gradient ascent's own end
    assert not table.query("method == 'gradient_ascent'")["statistic"].eq("ratio").any()


def test_trajectories_and_judges_stand_at_the_evaluations_they_took(arguments):
    meis, transfer = arguments["compute_time"]
    table = compute_time.table(meis, transfer)
    guided = table.query("method == 'energy_guided' and arch == 'attention'")
    climb = guided.query("measure == 'fraction_of_gradient_ascent' and statistic == 'median'")
    assert climb["evaluations"].tolist() == pytest.approx([10, 20, 30, 40])
    judged = guided.query("measure == 'judged' and statistic == 'median'").set_index("judge")
    assert (judged["evaluations"] == 40).all()
    truth = stores.load(transfer, "transfer")["normalized_to_best_natural"].sel({"method": "energy_guided"})
    expected = float(truth.sel(arch="attention", judge="across").mean("sample").median("unit"))
    assert judged.loc["across", "value"] == pytest.approx(expected)
    assert dict(judged["shares_weights"]) == {"generators": True, "across": False, "published_compact": False}
    assert not compute_time.table(meis)["measure"].eq("judged").any()
    shown = texts(rendered(draw(compute_time, meis, transfer)))
    assert {"d", "across", "judge's activation\n(1: its best natural image)"} <= set(shown)


def test_compute_time_prints_the_ratio(arguments):
    assert any("3.0× less" in text for text in texts(draw(compute_time, *arguments["compute_time"])))


@pytest.mark.parametrize(("ratio", "text"), [(1.0, "the same"), (0.4, "2.5× more"), (4.7, "4.7× less")])
def test_ratios_read_as_words(ratio, text):
    assert compute_time._times(ratio) == text


def test_large_costs_are_written_out(tmp_path):
    made = save_mei(tmp_path / "evolved.zarr", "evolution", "attention", 1, 1, seconds=1200.0)
    shown = texts(rendered(draw(compute_time, [made])))
    assert "1,200" in shown and not any("e+" in text for text in shown)


def test_compute_time_of_one_unit_one_step_and_no_reference(tmp_path):
    lone = save_mei(tmp_path / "lone.zarr", "energy_guided", "attention", 1, 1, steps=1)
    table = compute_time.table([lone])
    assert set(table["measure"]) == {"seconds", "evaluations"}  # nothing to normalise trajectories by
    assert "attention" in texts(rendered(draw(compute_time, [lone])))


def test_units_that_gradient_ascent_left_at_zero_have_no_scale(tmp_path):
    reference = save_mei(tmp_path / "ga.zarr", "gradient_ascent", "attention", 2, 1, final=0.0)
    table = compute_time.table([reference])
    assert not table["measure"].eq("fraction_of_gradient_ascent").any()


def test_compute_time_without_stores():
    with pytest.raises(V4eggError, match="no mei stores"):
        draw(compute_time, [])
