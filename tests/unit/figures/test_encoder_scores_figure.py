"""Encoder scores: the right numbers, and sessions, encoders and extras that are missing."""

import numpy as np
import pytest

from figure_stores import draw, rendered, save_scores, texts
from v4egg.errors import V4eggError
from v4egg.figures import encoder_scores
from v4egg.io import stores


def test_encoder_scores_table(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 5, "off": 2, "two": 3})
    table = encoder_scores.table(path)
    truth = stores.load(path, "scores")["correlation_to_average"].sel(split="test").load()
    assert set(table["session"]) == {"one", "two"}
    models = {"published_compact", "ceiling", "attention", "task_driven", "mixed", "ridge", "shuffled"}
    assert models == set(table["model"])
    own = table.query("session == 'one' and model == 'attention' and metric == 'correlation_to_average'")
    against = own[own["against"] == "ridge"].set_index("statistic")["value"]
    ridge = stores.load(path, "scores")["baseline_correlation"].sel(baseline="ridge").values[:5]
    assert against["difference"] == pytest.approx(
        float((truth.sel(arch="attention", member="ensemble").values[:5] - ridge).mean()), abs=1e-5
    )
    assert against["n"] == 5
    own = own[own["against"] == ""]
    ensemble = own[own["member"] == "ensemble"].set_index("statistic")["value"]
    expected = truth.sel(arch="attention", member="ensemble").values[:5]
    assert np.allclose(ensemble["unit"], expected)
    assert ensemble["mean"] == pytest.approx(expected.mean())
    assert ensemble["ci_low"] < ensemble["mean"] < ensemble["ci_high"]
    assert ensemble["n_units"] == 5
    member = own.query("member == 'm0' and statistic == 'mean'")["value"].item()
    assert member == pytest.approx(float(truth.sel(arch="attention", member="m0")[:5].mean()))


def test_encoder_scores_shows_both_sessions_and_who_is_better(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 5, "off": 2, "two": 1})
    shown = texts(draw(encoder_scores, path))
    assert {"one (5 units)", "two (1 unit)", "a", "b", "c", "d"} <= set(shown)
    assert not any("off" in text for text in shown)
    scores = stores.load(path, "scores").sel(unit=[f"one-u{i:03d}" for i in range(5)]).load()
    ensembles = scores["correlation_to_average"].sel(member="ensemble")
    best = ensembles.sel(split="validation").mean("unit").argmax("arch")
    own, other = (
        ensembles.sel(split="test")[best].values,
        scores["reference_model_correlation"].sel(split="test")[0].values,
    )
    assert any(text.startswith(f"{int((own > other).sum())} of 5 above, q") for text in shown)
    assert {"mixed ensemble", "ridge", "shuffled (chance)", "ceiling"} <= set(shown)


def test_encoder_scores_of_one_unit_and_one_encoder_without_extras(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 1}, archs=("attention",), extras=False)
    shown = texts(rendered(draw(encoder_scores, path)))
    assert "one (1 unit)" in shown
    assert "b" not in shown  # nothing to compare with
    assert not encoder_scores.table(path)["statistic"].isin(["ci_low", "ci_high"]).any()


def test_encoder_scores_compares_a_lone_encoder_with_the_yardstick(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 4}, archs=("attention",))
    assert "published compact models (correlation)" in texts(draw(encoder_scores, path))


def test_encoder_scores_compares_encoders_where_nobody_else_knows_the_units(tmp_path):
    path = save_scores(tmp_path / "scores.zarr", {"one": 4}, extras=False)
    shown = texts(rendered(draw(encoder_scores, path)))
    assert {"attention (correlation)", "task driven (correlation)"} & set(shown)


def test_two_cores_by_two_readouts_stand_in_a_table(tmp_path):
    archs = ("a", "b", "c", "d")
    dataset = stores.load(save_scores(tmp_path / "plain.zarr", {"one": 4, "two": 3}, archs), "scores").load()
    parts = {"core": ("arch", ["x", "x", "y", "y"]), "readout": ("arch", ["p", "q", "p", "q"])}
    stores.save(dataset.assign_coords(parts).drop_attrs(), tmp_path / "scores.zarr", "scores")
    figure = rendered(draw(encoder_scores, tmp_path / "scores.zarr"))
    squares = [axes for axes in figure.axes if axes.images]
    means = dataset["correlation_to_average"].sel(split="test", member="ensemble")
    means = means.groupby("session").mean("unit").transpose("session", "arch").values
    assert [axes.images[0].get_array().ravel().tolist() for axes in squares] == [
        pytest.approx(row.tolist(), abs=1e-5) for row in means
    ]
    parts["readout"] = ("arch", ["p", "q", "p", "p"])
    stores.save(dataset.assign_coords(parts).drop_attrs(), tmp_path / "uneven.zarr", "scores")
    assert not any(axes.images for axes in draw(encoder_scores, tmp_path / "uneven.zarr").axes)


def test_encoder_scores_without_any_test_session(tmp_path):
    with pytest.raises(V4eggError, match=r"scores\.zarr: no session has test scores"):
        draw(encoder_scores, save_scores(tmp_path / "scores.zarr", {"off": 3}))
