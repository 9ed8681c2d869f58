"""Compact models in numbers, against those worked out by hand from the figures' small stores."""

import json

import pytest

from circuit_stores import save_adversarial
from figure_stores import save_compact, save_mei, save_scores, save_transfer
from v4egg.evaluation.compact_summary import adversarial_numbers, compact_numbers
from v4egg.workflow import summary
from v4egg.workflow.summary_table import table


@pytest.fixture
def compact(tmp_path):
    return save_compact(tmp_path / "compact.zarr")


def test_accuracy_and_size_of_each_stage(compact):
    found = compact_numbers([compact])["one"]
    assert found["n_units"] == 5 and found["published_parameters"] == 500
    assert found["teacher_correlation"] == pytest.approx(0.8)
    pruned = found["pruned"]
    # 3 filters a layer at 16 px: 76 x 3, four times 25 x 3 + 3 x 3 + 3, a map of 4 x 4 x 3 and 1
    assert pruned["parameters"] == 228 + 4 * 87 + 48 + 1
    assert pruned["compression"] == pytest.approx(656_000 / 625)
    assert pruned["r2_to_teacher"] == pytest.approx(0.7) and pruned["correlation_to_average"] == pytest.approx(0.6)
    assert found["distilled"]["parameters"] > pruned["parameters"] and "r2_er" not in pruned


def test_adversarial_images_by_judge(tmp_path):
    found = adversarial_numbers([save_adversarial(tmp_path / "adversarial.zarr")])
    ((name, entry),) = found.items()
    assert name.startswith("published-") and entry["epsilon"] == 0.03
    models, other = entry["judges"]["published_compact"], entry["judges"]["attention"]
    assert models["shares_weights"] and not other["shares_weights"]
    # the last of 5 units is moved by .2 and .1 in sd, random changes move every judge by a sixth
    assert models["above_random"] == 1.0 and other["above_random"] == pytest.approx(0.8)
    assert models["carried_over"] == 1.0 and other["carried_over"] == 0.5


def test_both_stand_in_the_summary_and_compact_models_in_the_closing_table(tmp_path, compact):
    read = {
        "scores": save_scores(tmp_path / "scores.zarr", {"one": 5}),
        "transfer": save_transfer(tmp_path / "transfer.zarr"),
    }
    mei = [save_mei(tmp_path / "mei.zarr", "energy_guided", "attention")]
    found = summary.summarise(**read, mei=mei, benchmarks={}, compact=[compact])
    assert json.loads(json.dumps(found)) == found
    assert list(found["compact"]) == ["one"] and found["adversarial"] == {}
    rows = [line.split() for line in table(found).splitlines()]
    assert ["one", "pruned", "0.700", "0.600", "625", "1050"] in rows
    assert "compact models" not in table(summary.summarise(**read, mei=mei, benchmarks={}))
