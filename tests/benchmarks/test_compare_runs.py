"""Two folders of results are compared store by store, whatever the names in them are now."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

SCRIPT = Path(__file__).parents[2] / "benchmarks/compare_runs.py"
RENAMES = ["--rename", "mei:seed=sample", "best_natural=model_selected_natural"]


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("compare_runs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def write(path, dim, method, value=1.0, seconds=1.0, **attrs):
    activation = np.array([[value, np.nan]], np.float32)
    variables = {"activation": (("method", dim), activation), "seconds": (dim, np.full(2, seconds))}
    dataset = xr.Dataset(
        variables,
        {"method": np.array([method], np.dtypes.StringDType())},
        {"kind": "mei", "digest": str(seconds), **attrs},
    )
    dataset.to_zarr(path, zarr_format=3, consolidated=False)


@pytest.fixture
def old(tmp_path):
    write(tmp_path / "old/mei/a.zarr", "seed", "best_natural", arch="a")
    return tmp_path / "old"


def test_renamed_stores_with_the_same_numbers_are_equal(main, old, tmp_path, capsys):
    write(tmp_path / "new/mei/a.zarr", "sample", "model_selected_natural", seconds=2.0, arch="a", kind_version=1)
    assert main([str(old), str(tmp_path / "new"), *RENAMES]) == 0
    assert capsys.readouterr().out == "1 stores equal, 0 differ, 0 missing\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": 1.5}, "variable activation: 1 of 2 values differ, by up to 0.5 (largest value 1)"),
        ({"dim": "seed"}, "variable activation: {'method': 1, 'sample': 2} became {'method': 1, 'seed': 2}"),
        ({"method": "noise"}, "variable method: 1 of 1 texts differ"),
        ({"arch": "b"}, "attribute arch: a became b"),
        ({"more": 1}, "attribute more is only in the new store"),
    ],
)
def test_what_differs_is_named(main, old, tmp_path, capsys, change, words):
    given = {"dim": "sample", "method": "model_selected_natural", "arch": "a", **change}
    write(tmp_path / "new/mei/a.zarr", **given)
    assert main([str(old), str(tmp_path / "new"), *RENAMES]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"mei/a.zarr: {words}" in lines
    assert lines[-1] == "0 stores equal, 1 differ, 0 missing"


def test_names_in_attributes_are_renamed_at_any_depth(main, tmp_path, capsys):
    write(tmp_path / "old/a.zarr", "sample", "a", spec='{"training": {"average": 0.5}, "core": ["average"]}')
    write(tmp_path / "new/a.zarr", "sample", "a", spec='{"core": ["ema_decay"], "training": {"ema_decay": 0.5}}')
    folders = [str(tmp_path / "old"), str(tmp_path / "new")]
    assert main([*folders, "--rename", "average=ema_decay"]) == 0
    assert main(folders) == 1
    assert "attribute spec.training.average is only in the old store" in capsys.readouterr().out


def test_missing_stores_are_named_and_a_rename_of_another_kind_does_nothing(main, old, tmp_path, capsys):
    write(tmp_path / "new/mei/a.zarr", "seed", "best_natural", arch="a")
    write(tmp_path / "new/mei/b.zarr", "seed", "best_natural", arch="a")
    assert main([str(old), str(tmp_path / "new"), "--rename", "series:seed=sample"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["mei/b.zarr: missing in the old folder", "1 stores equal, 0 differ, 1 missing"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--rename", "seed"], "'seed' is not old=new or kind:old=new"), ([], "no Zarr stores there")],
)
def test_mistakes_are_told(main, old, tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit):
        main([str(old), str(tmp_path), *arguments] if arguments else [str(tmp_path / "absent"), str(old)])
    assert words in capsys.readouterr().err
