"""The closed loop in a figure: medians over presentations, the arms unit by unit, promise against truth."""

import pytest

from figure_stores import draw, rendered, save_closed_loop, texts
from v4egg.figures import closed_loop
from v4egg.stats.inference import paired_wilcoxon


def test_the_table_holds_medians_by_round_and_the_paired_test(tmp_path):
    table = closed_loop.table([save_closed_loop(tmp_path / "loop.zarr")])
    median = table[table["statistic"] == "median"].set_index(["arm", "round"])["value"]
    assert median["synthesised", 0] == median["natural", 0] == pytest.approx(0.8)
    assert median["synthesised", 2] == pytest.approx(1.8)
    assert median["natural", 2] == pytest.approx(0.8)
    tests = table[table["round"] == 2].set_index(["arm", "statistic"])["value"]
    assert tests["synthesised", "n_won"] == 6
    assert tests["synthesised", "p_value"] == pytest.approx(paired_wilcoxon([1.0] * 6, [0.0] * 6).p_value)
    assert set(table.loc[table["round"] == 1, "presentations"]) == {100}


def test_a_row_for_each_loop(tmp_path):
    paths = [save_closed_loop(tmp_path / f"{s}.zarr", session=s) for s in ("sim01", "sim02")]
    figure = rendered(draw(closed_loop, paths))
    shown = texts(figure)
    assert len(figure.axes) == 6
    assert {"sim01, attention (6 units)", "sim02, attention (6 units)", "a", "f"} <= set(shown)
    assert any(text.startswith("6/6 above") for text in shown)
