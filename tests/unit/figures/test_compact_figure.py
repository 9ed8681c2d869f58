"""Compact models in a figure: sizes, ratios and scores beside other models."""

import pytest
import xarray as xr

from figure_stores import draw, rendered, save_compact, save_scores, texts
from v4egg.compact.network import tensor_shapes
from v4egg.errors import V4eggError
from v4egg.figures import compact
from v4egg.io import stores


def test_table(arguments):
    numbers = compact.table(*arguments["compact"])
    sizes = numbers[numbers["measure"] == "parameters"].set_index(["model", "statistic"])["value"]
    expected = sum(_product(shape) for shape in tensor_shapes((3,) * 5, 4).values())
    assert sizes["retrained", "median"] == expected
    assert sizes["retrained", "ratio"] == 656_000 / expected
    assert sizes["published_compact", "median"] == 500
    assert len(sizes.loc[["published_compact"], "unit"]) == 4  # one unit has no published model
    r2 = numbers[(numbers["measure"] == "r2_to_teacher") & (numbers["statistic"] == "median")]
    assert r2["value"].tolist() == pytest.approx([0.8, 0.7, 0.75])
    filters = numbers[(numbers["measure"] == "filters") & (numbers["statistic"] == "median")]
    assert filters.groupby("model")["value"].unique().map(list).to_dict() == {
        "distilled": [6],
        "pruned": [3],
        "retrained": [3],
    }
    scored = numbers[(numbers["measure"] == "correlation_to_average") & (numbers["statistic"] == "mean")]
    assert {"teacher", "distilled", "retrained", "published_compact", "attention"} <= set(scored["model"])
    assert not (numbers["measure"] == "r2_er").any()  # nothing was repeated


def test_ensembles_of_other_sessions_are_in_the_table(arguments, tmp_path):
    save_scores(tmp_path / "scores.zarr", {"one": 5, "three": 4})
    numbers = compact.table(arguments["compact"][0], tmp_path / "scores.zarr")
    other = numbers[(numbers["session"] == "three") & (numbers["statistic"] == "mean")]
    assert set(other["measure"]) == {"correlation_to_average"}
    figure = draw(compact, arguments["compact"][0], tmp_path / "scores.zarr")
    assert not any("three" in text for text in texts(rendered(figure)))


def test_figure(arguments, tmp_path):
    shown = texts(rendered(draw(compact, *arguments["compact"])))
    assert {"one (5 units)", "retrained", "published", "before pruning"} <= set(shown)
    plain = save_compact(tmp_path / "plain.zarr", "two", published=False)
    several = texts(rendered(draw(compact, [*arguments["compact"][0], plain], arguments["compact"][1])))
    assert {"one (5 units)", "two (5 units)"} <= set(several)
    assert several.count("published") == shown.count("published")


def test_models_that_units_share(arguments, tmp_path):
    coords = {"shared": [2, 8], "unit": [f"one-u{i}" for i in range(5)]}
    values = (("shared", "unit"), [[0.2] * 5, [0.6] * 5])
    variables = {"r2_to_teacher": values, "correlation_to_average": values, "parameters": ("shared", [900, 2000])}
    stores.save(xr.Dataset(variables, coords, {"session": "one"}), tmp_path / "shared.zarr", "compact_shared")
    numbers = compact.table(*arguments["compact"], [tmp_path / "shared.zarr"]).set_index(
        ["measure", "model", "statistic"]
    )
    assert numbers["value"]["r2_to_teacher", "shared_8", "median"].item() == pytest.approx(0.6)
    assert numbers["value"]["parameters", "shared_2", "ratio"].item() == pytest.approx(656_000 / 900)
    assert "shared 8" in texts(rendered(draw(compact, *arguments["compact"], [tmp_path / "shared.zarr"])))


def test_without_stores(arguments):
    with pytest.raises(V4eggError, match="compact: no stores are given"):
        draw(compact, [], arguments["compact"][1])


def _product(shape):
    size = 1
    for length in shape:
        size *= length
    return size
