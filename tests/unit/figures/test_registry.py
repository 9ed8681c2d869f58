"""What the workflow reads of a figure without importing it."""

import subprocess
import sys

import pytest

from v4egg.figures import FIGURES, Figure

CONFIG = {"samples": {"n": 0}, "compact": {"teacher": "all"}}
LISTS = {"method": ["a", "b"], "source": ["x", "y"], "loop": []}


def test_inputs_are_expanded_over_the_lists_of_the_workflow():
    figure = Figure("module", {"meis": "mei/{method}/{source}.zarr", "one": "one.zarr", "loops": "loop/{loop}.zarr"})
    assert figure.paths("results/run", LISTS) == {
        "meis": [f"results/run/mei/{method}/{source}.zarr" for method in "ab" for source in "xy"],
        "one": "results/run/one.zarr",
        "loops": [],
    }


@pytest.mark.parametrize(
    ("when", "expected"),
    [("", True), ("samples.n", False), ("compact.teacher", True), ("{loop}", False), ("{method}", True)],
)
def test_a_key_of_the_configuration_or_a_list_switches_a_figure_on(when, expected):
    assert Figure("module", {}, when=when).is_on(CONFIG, LISTS) is expected


def test_the_registry_is_read_without_torch_and_matplotlib():
    code = "import sys, v4egg.figures; assert not {'torch', 'matplotlib', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert FIGURES["tuning"].load().draw
