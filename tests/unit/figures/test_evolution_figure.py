"""XDream's experiment in a figure: shares and medians by condition and group."""

import pytest

from figure_stores import draw, rendered, texts
from v4egg.errors import V4eggError
from v4egg.figures import evolution


def test_evolution_table_and_its_columns(arguments):
    numbers = evolution.table(*arguments["evolution"])
    final = numbers[(numbers["condition"] == "inside") & (numbers["measure"] == "evolved_over_natural")]
    assert list(final.loc[final["statistic"] == "neuron", "value"]) == [0.5, 1, 1.5, 2]
    whole = final[final["group"] == ""].set_index("statistic")["value"]
    assert whole["median"] == 1.25
    assert whole["share_above_1"] == 0.5
    assert final[(final["group"] == "core.6") & (final["statistic"] == "median")]["value"].item() == 1.75
    curve = numbers[(numbers["condition"] == "genetic") & (numbers["statistic"] == "median")].set_index("presentations")
    assert curve["value"][120] == pytest.approx(1.25)
    assert curve["value"][20] == pytest.approx(0.25)
    shown = texts(rendered(draw(evolution, *arguments["evolution"])))
    assert {"genetic (n = 4)", "inside, core.3 (n = 2)", "inside, core.6 (n = 2)", "presentations"} <= set(shown)


def test_evolution_without_stores():
    with pytest.raises(V4eggError, match=r"no stores are given; name conditions under evolution\.conditions"):
        draw(evolution, [])
