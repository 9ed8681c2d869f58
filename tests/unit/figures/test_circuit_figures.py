"""Circuits, tuning, dot detector and adversarial images in figures: their numbers and what they show."""

import numpy as np
import pytest

from circuit_stores import UNITS, save_circuits, save_dot_detector
from figure_stores import draw, rendered, texts
from v4egg.errors import V4eggError
from v4egg.figures import adversarial, circuits, dot_detector, tuning


def test_circuits_tell_early_from_late_layers(arguments, tmp_path):
    numbers = circuits.table(*arguments["circuits"])
    over = numbers[numbers["unit"] == ""].set_index(["measure", "condition", "layer"])["value"]
    assert over[("median_filters", "models", 1)] == 59
    assert over[("median_matched_response", "shuffled", 4)] == pytest.approx(0.32)
    assert over[("early_late_difference_kernel", "models")].item() == pytest.approx(0.4)
    assert over[("early_late_effect_kernel", "models")].item() == 1
    shown = texts(rendered(draw(circuits, *arguments["circuits"])))
    assert {"s1, published: 5 units", "compact models", "best of all", "before pruning"} <= set(shown)
    without = [save_circuits(tmp_path / "c.zarr", unpruned=False)]
    assert "before pruning" not in texts(rendered(draw(circuits, without)))


def test_tuning_shows_the_unit_that_likes_dots(arguments):
    numbers = tuning.table(*arguments["tuning"])
    curves = numbers[numbers["parameters"].notna()]
    assert set(curves["unit"]) == {UNITS[2]}
    sizes = curves[(curves["stimulus_class"] == "dots") & (curves["second"] == -1)].set_index("first")["response"]
    assert sizes[0.07] == 2
    assert sizes[0.2] == 0
    assert len(numbers[numbers["probe"].notna()]) == 5 * 7  # each unit's best of each stimulus class
    shown = texts(rendered(draw(tuning, *arguments["tuning"])))
    assert {f"{UNITS[2]}, published: best probe of each stimulus class", "dots 2.00", "grating 1.00"} <= set(shown)


def test_dot_detector_names_the_best_unit_and_what_ablation_leaves(arguments):
    numbers = dot_detector.table(*arguments["dot_detector"])
    below = numbers[numbers["measure"] == "share_below"].set_index(["layer", "removed"])["value"]
    assert below[(0, 1)] == pytest.approx(1 / 3)
    assert (2, 4) not in below  # three filters: four cannot go
    assert len(numbers[numbers["measure"] == "dot_index"]) == 4
    shown = texts(rendered(draw(dot_detector, *arguments["dot_detector"])))
    assert {UNITS[2], "1 of 4 respond to dots more than to anything else", "layer 0, #0: 50%", "best rival"} <= set(
        shown
    )


def test_a_unit_that_prefers_a_rival_has_nothing_to_lose(tmp_path):
    shown = texts(rendered(draw(dot_detector, [save_dot_detector(tmp_path / "d.zarr", prefers_dots=False)])))
    assert "prefers a rival:\nno preference to lose" in shown


def test_adversarial_shares_and_what_carries_over(arguments):
    numbers = adversarial.table(*arguments["adversarial"])
    over = numbers[numbers["unit"] == ""].set_index(["measure", "judge", "direction", "epsilon"])["value"]
    for direction in ("raise", "lower"):
        assert over[("share_above_random", "published_compact", direction, 0.03)] == 1
        assert over[("share_above_all_random", "attention", direction, 0.03)] == pytest.approx(0.8)
        assert over[("median_carried_over", "attention", direction, 0.01)].item() == pytest.approx(0.5)
    assert over[("median_movement", "published_compact", "raise", 0.01)].item() == pytest.approx(2)
    maximizing = numbers[(numbers["measure"] == "maximizing") & (numbers["judge"] == "attention")]
    assert len(maximizing) == 5
    assert np.isfinite(maximizing["value"]).all()
    shown = texts(rendered(draw(adversarial, *arguments["adversarial"])))
    assert {"share carried over", "white noise", "raise", "change"} <= set(shown)


@pytest.mark.parametrize("module", [circuits, tuning, dot_detector])
def test_figures_without_stores_are_one_line(module):
    with pytest.raises(V4eggError, match=r"circuits\.models"):
        draw(module, [])
