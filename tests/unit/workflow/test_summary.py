"""The summary against numbers worked out by hand from small stores."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import best_images, load_transfer
from v4egg.evaluation.score_statistics import compare, scores_on_test
from v4egg.io import stores
from v4egg.io.schemas import KINDS, Variable
from v4egg.workflow import summary
from v4egg.workflow.summary_table import table

UNITS = ["one-u000", "one-u001", "two-u000", "off-u000"]
SCORE = ("arch", "member", "split", "unit")
JUDGED = ("method", "arch", "unit", "sample", "judge")


def save_scores(path, **extra):
    values = np.full((1, 2, 2, 4), -0.9)
    values[0, 1, 1] = [0.2, 0.4, 0.7, np.nan]  # the ensemble on the test split; the last session has no test split
    values[0, 0, 1, 3] = np.nan
    variables = {"correlation_to_average": (SCORE, values), **extra}
    coords = {
        "arch": ["attention"],
        "member": ["m0", "ensemble"],
        "split": ["validation", "test"],
        "unit": UNITS,
        "session": ("unit", [unit.split("-")[0] for unit in UNITS]),
    }
    stores.save(xr.Dataset(variables, coords), path, "scores")
    return path


def save_transfer(path):
    """Two methods, units, samples and judges; the generators rate sample 1 highest for unit 0, sample 0 for unit 1."""
    generators = np.array([[[1.0, 3.0], [5.0, 2.0]], [[4.0, np.nan], [np.nan, np.nan]]])  # method, unit, sample
    judge = np.array([[[10.0, 20.0], [30.0, 90.0]], [[7.0, 8.0], [9.0, 9.0]]])
    values = np.stack([generators, judge], -1)[:, None]
    variables = {
        "activation": (JUDGED, values),
        "zscore": (JUDGED, values + 1),
        "normalized_activation": (JUDGED, values / 10),
        "normalized_to_best_natural": (JUDGED, values / 20),
        "normalized_at_matched_contrast": (JUDGED, values / 30),
        "contrast": (JUDGED[:-1], values[..., 0]),
        "shares_weights": (("arch", "judge"), np.array([[True, False]])),
        "model_selected_natural": (("arch", "unit"), np.array([["one/0", "one/1"]], object)),
        "natural_image": (("arch", "unit", "channel", "y", "x"), np.zeros((1, 2, 1, 4, 4))),
    }
    methods = ["energy_guided", "model_selected_natural"]
    coords = {
        "method": methods,
        "arch": ["attention"],
        "unit": UNITS[:2],
        "sample": [0, 1],
        "judge": ["generators", "across"],
    }
    stores.save(xr.Dataset(variables, coords), path, "transfer")
    return path


def save_mei(path, units=UNITS[:2], attrs=None, seconds=2.0):
    n = len(units)
    variables = {
        "image": (("unit", "sample", "channel", "y", "x"), np.zeros((n, 2, 1, 4, 4))),
        "activation": (("unit", "sample", "step"), np.ones((n, 2, 3))),
        "evaluations": (("unit", "sample"), np.full((n, 2), 30)),
        "seconds": (("unit", "sample"), np.full((n, 2), seconds)),
    }
    attrs = {"method": "energy_guided", "arch": "attention"} if attrs is None else attrs
    stores.save(xr.Dataset(variables, {"unit": list(units), "sample": [0, 1]}, attrs), path, "mei")
    return path


@pytest.fixture
def run(tmp_path):
    benchmark = tmp_path / "job.tsv"
    benchmark.write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t-\n")
    return {
        "scores": save_scores(tmp_path / "scores.zarr"),
        "transfer": save_transfer(tmp_path / "transfer.zarr"),
        "mei": [save_mei(tmp_path / "mei.zarr")],
        "benchmarks": {"synthesise": [benchmark, benchmark], "train": []},
    }


def test_the_whole_summary(run):
    found = summary.summarise(**run)
    assert found["encoders"] == {
        "attention": {
            "one": {
                "n_units": 2,
                "correlation_to_average": pytest.approx(0.3),
                "ci_low": pytest.approx(0.2),
                "ci_high": pytest.approx(0.4),
                "members_mean": pytest.approx(-0.9),
                "ensemble_gain": pytest.approx(1.2),
            },
            "two": {
                "n_units": 1,
                "correlation_to_average": pytest.approx(0.7),
                "members_mean": pytest.approx(-0.9),
                "ensemble_gain": pytest.approx(1.6),
            },
        }
    }
    for nothing in ("reference_models", "baselines", "combined_architectures", "ceilings"):
        assert found[nothing] == {}
    assert found["comparisons"] == []
    assert found["seconds"] == {"synthesise": 3.0, "train": 0.0}
    assert found["mei"] == {
        "energy_guided": {
            "attention": {
                "n_images": 4,
                "seconds_per_image": 2.0,
                "most_independent_judge": "across",
                "judges": {
                    "generators": {
                        "median_normalized_activation": pytest.approx(0.4),
                        "median_activation": 4.0,
                        "shares_weights": True,
                    },
                    "across": {
                        "median_normalized_activation": pytest.approx(2.5),
                        "median_activation": 25.0,
                        "shares_weights": False,
                    },
                },
            }
        },
        "model_selected_natural": {
            "attention": {
                "n_images": 1,
                "seconds_per_image": None,
                "most_independent_judge": "across",
                "judges": {
                    "generators": {
                        "median_normalized_activation": pytest.approx(0.4),
                        "median_activation": 4.0,
                        "shares_weights": True,
                    },
                    "across": {
                        "median_normalized_activation": pytest.approx(0.7),
                        "median_activation": 7.0,
                        "shares_weights": False,
                    },
                },
            }
        },
    }  # fmt: skip


def test_it_is_json_without_nan(run):
    assert json.loads(json.dumps(summary.summarise(**run), allow_nan=False)) == summary.summarise(**run)


def test_truth_and_yardsticks_where_present(run, tmp_path, monkeypatch):
    entry = Variable(("reference_model", "split", "unit"), "float32", "correlation", "of other models", True)
    monkeypatch.setitem(KINDS["scores"], "reference_model_correlation", entry)
    truth = (SCORE, np.broadcast_to([0.5, 0.7, np.nan, np.nan], (1, 2, 2, 4)))
    reference_model = xr.DataArray(
        np.broadcast_to([0.1, 0.3, np.nan, np.nan], (1, 2, 4)),
        dims=("reference_model", "split", "unit"),
        coords={"reference_model": ["published_compact"]},
    )
    run["scores"] = save_scores(
        tmp_path / "more.zarr", correlation_to_truth=truth, reference_model_correlation=reference_model
    )
    found = summary.summarise(**run)
    assert found["encoders"]["attention"]["one"]["correlation_to_truth"] == pytest.approx(0.6)
    assert "correlation_to_truth" not in found["encoders"]["attention"]["two"]
    ends = {"ci_low": pytest.approx(0.1), "ci_high": pytest.approx(0.3)}
    expected = {"one": {"n_units": 2, "correlation_to_average": pytest.approx(0.2), **ends}}
    assert found["reference_models"] == {"published_compact": expected}
    assert "published_compact" in table(found)


def test_comparisons_are_paired_over_the_units_that_both_have(run, tmp_path):
    extra = {
        "combined_correlation": xr.DataArray(
            np.broadcast_to([0.3, 0.5, 0.6, np.nan], (1, 2, 4)),
            dims=("combined", "split", "unit"),
            coords={"combined": ["mixed"]},
        ),
        "baseline_correlation": xr.DataArray(
            [[0.1, np.nan, 0.1, np.nan]], dims=("baseline", "unit"), coords={"baseline": ["ridge"]}
        ),
        "ceiling": ("unit", np.array([0.8, 0.9, np.nan, np.nan])),
    }
    run["scores"] = save_scores(tmp_path / "more.zarr", **extra)
    rows = compare(scores_on_test(run["scores"])).set_index(["session", "a", "b"])
    row = rows.loc[("one", "mixed", "attention")]
    assert row[["mean_a", "mean_b", "difference", "low", "high"]].tolist() == pytest.approx([0.4, 0.3, 0.1, 0.1, 0.1])
    assert (row["n"], row["effect"]) == (2, 1.0)
    row = rows.loc[("one", "attention", "ridge")]
    assert (row["n"], row["mean_a"]) == (1, pytest.approx(0.2))
    assert ("off", "mixed", "attention") not in rows.index
    found = summary.summarise(**run)
    assert found["baselines"]["ridge"]["one"]["correlation_to_average"] == pytest.approx(0.1)
    assert found["combined_architectures"]["mixed"]["two"] == {
        "n_units": 1,
        "correlation_to_average": pytest.approx(0.6),
    }
    assert found["ceilings"] == {"one": {"ceiling": pytest.approx(0.85)}}
    assert found["comparisons"][0]["session"] == "one"
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for part in ("mixed", "ridge", "95% interval"):
        assert part in table(found)


def test_batches_of_one_method_count_together(run, tmp_path):
    run["mei"] = [save_mei(tmp_path / "a.zarr", UNITS[:1]), save_mei(tmp_path / "b.zarr", UNITS[1:3], seconds=5.0)]
    entry = summary.summarise(**run)["mei"]["energy_guided"]["attention"]
    assert entry["n_images"] == 6
    assert entry["seconds_per_image"] == pytest.approx((2 * 2 + 4 * 5) / 6)


def test_best_images_follow_the_generators_alone(run):
    best = best_images(load_transfer(run["transfer"]))
    guided = best.sel({"method": "energy_guided", "arch": "attention"})
    assert guided["sample"].values.tolist() == [1, 0]
    assert guided["activation"].sel(judge="across").values.tolist() == [20.0, 30.0]
    natural = best.sel({"method": "model_selected_natural", "arch": "attention"})
    assert natural["activation"].sel(judge="across").values[0] == 7.0
    assert np.isnan(natural["activation"].values[1]).all()  # judged by others, but not chosen by the generators


def test_the_table_is_aligned_and_holds_the_numbers(run):
    text = table(summary.summarise(**run))
    for part in ("attention", "0.300", "generators", "0.40*", "across", "synthesise", "3.0"):
        assert part in text
    assert "across*" not in text
    blocks = text.split("\n\n")
    assert len(blocks) == 4
    assert len({len(line) for line in blocks[0].splitlines()[1:]}) == 1


def test_the_table_shows_all_scales_under_the_most_independent_judge(run):
    block = table(summary.summarise(**run)).split("\n\n")[2].splitlines()
    headers, guided = (block[i].split("  ") for i in (0, 2))
    cells = [[cell.strip() for cell in line if cell.strip()] for line in (headers, guided)]
    row = dict(zip(*cells, strict=True))
    assert row["most independent judge"] == "across"
    assert row["units"] == "2"
    for header, scale in {"model-selected natural": 10, "judge's best natural": 20, "matched contrast": 30}.items():
        low, high = 20 / scale, 30 / scale  # the two units' images that the generators rate highest
        assert row[header] == f"{(low + high) / 2:.2f} [{low:.2f}, {high:.2f}]"


def test_errors_name_the_file(run, tmp_path):
    broken = tmp_path / "broken.tsv"
    broken.write_text("seconds\n1\n")
    with pytest.raises(V4eggError, match=r"broken\.tsv.*column 's'"):
        summary.summarise(**{**run, "benchmarks": {"train": [broken]}})
    with pytest.raises(V4eggError, match=r"nowhere\.tsv"):
        summary.summarise(**{**run, "benchmarks": {"train": [tmp_path / "nowhere.tsv"]}})
    nameless = save_mei(tmp_path / "nameless.zarr", attrs={"method": "energy_guided"})
    with pytest.raises(V4eggError, match=r"nameless\.zarr: the attribute arch"):
        summary.summarise(**{**run, "mei": [nameless]})
    with pytest.raises(V4eggError, match="expected 'transfer'"):
        summary.summarise(**{**run, "transfer": run["scores"]})


def test_scores_without_a_test_split_or_sessions_are_refused(tmp_path):
    dataset = stores.load(save_scores(tmp_path / "scores.zarr"), "scores").load()
    stores.save(dataset.sel(split=["validation"]), tmp_path / "validation.zarr", "scores")
    with pytest.raises(V4eggError, match="split 'test' is missing"):
        scores_on_test(tmp_path / "validation.zarr")
    stores.save(dataset.drop_vars("session"), tmp_path / "sessionless.zarr", "scores")
    with pytest.raises(V4eggError, match="session"):
        scores_on_test(tmp_path / "sessionless.zarr")


def test_tables_of_other_stages_give_their_statistics_and_no_single_unit(run):
    columns = ["arch", "image", "statistic", "unit", "value"]
    rows = [("a", "meni", "activation", "u1", 3), ("a", "meni", "median", "", 0.5), ("a", "natural", "n_won", "", 4)]
    meni = pd.DataFrame(rows, columns=columns)
    columns = ["condition", "measure", "statistic", "group", "neuron", "presentations", "value"]
    rows = [
        ("ga", "evolved_over_natural", "neuron", "all", "n1", np.nan, 1.2),
        ("ga", "evolved_over_natural", "median", "all", np.nan, np.nan, 1.1),
        ("ga", "mean_activation", "median", "", np.nan, np.int64(20), 0.3),
    ]
    evolution = pd.DataFrame(rows, columns=columns)
    found = summary.summarise(**run, stages={"meni": meni, "evolution": evolution})
    assert json.loads(json.dumps(found, allow_nan=False))["stages"] == {
        "meni": [
            {"arch": "a", "image": "meni", "statistic": "median", "value": 0.5},
            {"arch": "a", "image": "natural", "statistic": "n_won", "value": 4.0},
        ],
        "evolution": [
            {
                "condition": "ga",
                "measure": "evolved_over_natural",
                "statistic": "median",
                "group": "all",
                "value": 1.1,
            }
        ],
    }
