"""Every benchmark says what it does before it does anything, and imports what there is."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = [path for path in sorted(FOLDER.glob("*.py")) if "__main__" in path.read_text()]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_help_is_printed_and_nothing_runs(path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(str(FOLDER))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {path.name}")


def test_what_is_no_program_is_imported_by_one():
    programs = "".join(path.read_text() for path in PROGRAMS)
    modules = [path.stem for path in FOLDER.glob("*.py") if path not in PROGRAMS]
    assert modules
    assert all(f"from {module} import" in programs for module in modules)
