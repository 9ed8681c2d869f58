"""What all figures share: the same bytes again, settings that do not leak, colours and numbers."""

import hashlib
import inspect
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from figure_stores import METHODS, draw
from v4egg.figures import FIGURES, evolution, style

CAPTIONS = Path(__file__).parents[3] / "workflow/report"


@pytest.mark.parametrize("name", list(FIGURES))
def test_what_the_registry_says_of_a_figure_is_what_its_module_takes(name):
    figure, module = FIGURES[name], FIGURES[name].load()
    assert set(inspect.signature(module.draw).parameters) == {"numbers", *figure.images}
    takes = inspect.signature(module.table).parameters
    needed = {argument for argument, parameter in takes.items() if parameter.default is parameter.empty}
    assert needed <= set(figure.inputs) <= set(takes)
    assert module.table.__module__ == f"v4egg.evaluation.tables.{name}"
    assert (CAPTIONS / f"{name}.rst").read_text().startswith("**")


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_is_drawn_from_its_table(name, arguments):
    module = FIGURES[name].load()
    numbers = module.table(*arguments[name])
    assert len(numbers) > 5
    before = numbers.copy()
    figure = draw(module, *arguments[name])
    figure.draw_without_rendering()
    assert len(figure.axes) > 1
    pd.testing.assert_frame_equal(module.table(*arguments[name]), before)  # the same numbers again


def test_same_data_same_bytes_which_hold_no_date(arguments, tmp_path):
    written = []
    for folder in ("first", "second"):
        numbers = evolution.table(*arguments["evolution"])
        paths = style.write(evolution.draw(numbers), numbers, tmp_path / folder, "evolution")
        assert [path.name for path in paths] == ["evolution.svg", "evolution.png", "evolution.csv"]
        written.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert written[0] == written[1]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(path.name for path in paths)
    assert b"<dc:date>" not in paths[0].read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(paths[2])[["value"]], numbers[["value"]], rtol=1e-5)


def test_settings_of_matplotlib_neither_leak_out_nor_in(arguments, tmp_path):
    numbers, before = evolution.table(*arguments["evolution"]), dict(matplotlib.rcParams)
    plain = style.write(evolution.draw(numbers), pd.DataFrame(), tmp_path / "a", "x")[0]
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        other = style.write(evolution.draw(numbers), pd.DataFrame(), tmp_path / "b", "x")
    assert plain.read_bytes() == other[0].read_bytes()


def test_a_failed_write_leaves_nothing(tmp_path):
    class Broken(Figure):
        def savefig(self, path, **_):
            path.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        style.write(Broken(), pd.DataFrame(), tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_every_method_and_architecture_has_a_colour_of_its_own():
    names = [*METHODS, "attention", "task_driven", "factorized", "another", "one_more"]
    found = style.colours(names)
    assert len(set(found.values())) == len(names)
    for name in (*METHODS, "attention", "task_driven"):
        assert style.colours([name])[name] == found[name]


def test_number_has_a_true_minus_and_no_negative_zero():
    assert style.number(-1.236) == "\u22121.24"
    assert style.number(-0.001) == "0.00"


def test_corrected_p_values_as_they_are_written():
    assert style.q_value(0.012345) == "q = 0.012"
    assert style.q_value(1e-9) == "q < 0.0001"
    assert style.q_value(float("nan")) == ""
