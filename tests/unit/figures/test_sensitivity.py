"""Settings of an evolution in a figure: each at its values, beside the condition from which it departs."""

import pytest

from figure_stores import draw, rendered, save_evolutions, texts
from v4egg.errors import V4eggError
from v4egg.figures import sensitivity


def test_a_setting_stands_beside_the_condition_from_which_it_departs(arguments):
    numbers = sensitivity.table(*arguments["sensitivity"])
    median = numbers[numbers["statistic"] == "median"]
    assert list(median["setting"]) == ["mutation_rate"] * 2 + ["population"] * 3
    assert list(median["value"]) == [0.25, 0.5, 10, 20, 40]
    assert list(median["departs"]) == [True, False, True, False, True]
    assert list(median["evolved_over_natural"]) == [1.75, 1.0, 1.25, 1.0, 1.5]
    share = numbers[(numbers["statistic"] == "share_above_1") & (numbers["value"] == 10)]
    assert share["evolved_over_natural"].item() == pytest.approx(2 / 3)  # a neuron without natural drive is left out
    assert len(numbers[(numbers["statistic"] == "neuron") & (numbers["setting"] == "population")]) == 9


def test_sensitivity_shows_its_values(arguments):
    shown = texts(rendered(draw(sensitivity, *arguments["sensitivity"])))
    assert {"population", "mutation rate", "10", "20", "40", "0.25", "0.5", "1.75"} <= set(shown)


def test_sensitivity_without_departures(tmp_path, arguments):
    with pytest.raises(V4eggError, match=r"no store departs .* under evolution\.conditions\.vary"):
        draw(sensitivity, save_evolutions(tmp_path))
    with pytest.raises(V4eggError, match="no store departs"):
        sensitivity.table(arguments["sensitivity"][0][1:])
