"""What all figures share: the same bytes again, settings that do not leak, colours and numbers."""

import hashlib

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from figure_stores import METHODS, save_transfer
from v4egg.figures import FIGURES, compute_time, style


@pytest.mark.parametrize("name", list(FIGURES))
def test_same_data_same_bytes(name, arguments, tmp_path):
    module, written = FIGURES[name], []
    arguments["transfer_scatter"] = (save_transfer(tmp_path / "small.zarr", archs=("attention",), judges=("across",)),)
    for folder in ("first", "second"):
        paths = style.write(module.draw(*arguments[name]), module.table(*arguments[name]), tmp_path / folder, name)
        assert [path.name for path in paths] == [f"{name}.svg", f"{name}.png", f"{name}.csv"]
        written.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert written[0] == written[1]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(path.name for path in paths)
    assert len(pd.read_csv(tmp_path / "first" / f"{name}.csv")) > 5


def test_bytes_depend_on_the_data_and_hold_no_date(arguments, tmp_path):
    first = style.write(compute_time.draw(*arguments["compute_time"]), pd.DataFrame(), tmp_path / "a", "x")[0]
    only = arguments["compute_time"][0][:2]
    second = style.write(compute_time.draw(only), pd.DataFrame(), tmp_path / "b", "x")[0]
    assert first.read_bytes() != second.read_bytes()
    assert b"<dc:date>" not in first.read_bytes()


def test_settings_of_matplotlib_neither_leak_out_nor_in(arguments, tmp_path):
    before = dict(matplotlib.rcParams)
    plain = style.write(compute_time.draw(*arguments["compute_time"]), pd.DataFrame(), tmp_path / "a", "x")[0]
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        other = style.write(compute_time.draw(*arguments["compute_time"]), pd.DataFrame(), tmp_path / "b", "x")
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
