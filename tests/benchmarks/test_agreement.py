"""Two small comparisons behind numbers of the results pages."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from circuit_stores import save_dot_detector
from figure_stores import save_settings
from v4egg.io import stores

FOLDER = Path(__file__).parents[2] / "benchmarks"


def program(name, monkeypatch, *arguments):
    """Run a benchmark with these arguments."""
    monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
    runpy.run_path(str(FOLDER / name), run_name="__main__")


def test_evolutions_are_compared_over_neurons_that_both_have(tmp_path, monkeypatch, capsys):
    save_settings(tmp_path)  # a neuron has no value; the others rise by 0.25 from one condition to the next
    program("compare_evolutions.py", monkeypatch, tmp_path, "ga-population-40", "ga", "ga-population-40")
    first, same = capsys.readouterr().out.splitlines()
    assert first == "ga-population-40 against ga: n = 3, 1.50 against 1.00, higher in 3, p = 0.25"
    assert same.endswith("higher in 0, p = 1")


@pytest.mark.parametrize(("sign", "correlation"), [(1, "1.00"), (-1, "-1.00")])
def test_dot_indices_agree_or_not(tmp_path, monkeypatch, capsys, sign, correlation):
    first = save_dot_detector(tmp_path / "published.zarr")
    data = stores.load(first, "dot_detector").load()
    second = tmp_path / "students.zarr"
    changed = data.assign(dot_index=data["dot_index"] * np.float32(sign) / 2)
    stores.save(changed, second, "dot_detector")
    program("dot_index_agreement.py", monkeypatch, first, second)
    assert capsys.readouterr().out.startswith(f"n = 4, Spearman correlation {correlation}")
