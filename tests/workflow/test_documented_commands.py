"""Every block of Python and of shell in the documentation runs, or says why it does not."""

import shlex
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from documentation import ROOT, blocks
from tiny_workflow import TINY, environment
from v4egg.workflow import rule_graph

pytestmark = pytest.mark.timeout(1500)  # the first test may wait for the whole DAG, also on a busy machine
PAGES = [list(found) for _, found in groupby(blocks("python", "sh"), key=lambda block: block.page)]


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    """A folder in which the tiny workflow looks like the demo."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/demo").symlink_to(finished / "results/tiny", target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page[0].page.name)
def test_blocks_run_one_after_another(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {"__name__": "documentation"}
    for block in page:
        if block.reason:
            continue
        if block.language == "python":
            exec(compile(block.text, str(block), "exec"), names)
        else:
            for line in filter(None, block.text.splitlines()):
                run_line(shlex.split(line, comments=True), folder, f"{block}: {line}")


def run_line(words: list[str], folder: Path, where: str) -> None:
    """Run a line of shell: Snakemake plans only, and targets of make are looked up (another test)."""
    if words[0] == "make":
        return
    if words[0] == "snakemake":
        words = [sys.executable, "-m", *words, "--dry-run", "--quiet", "--directory", str(folder / "planned")]
    else:
        assert words[0] == "python", f"{where}: neither make, snakemake nor python; mark it as not executed"
        words[0] = sys.executable
    cwd = folder if "--dry-run" not in words else ROOT
    run = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=environment(), check=False)
    assert run.returncode == 0, f"{where}\n{run.stderr[-2000:]}"


def test_the_rule_graph_is_current():
    page = (ROOT / "docs/architecture.md").read_text()
    assert rule_graph.render(page, rule_graph.rule_graph(ROOT, TINY)) == page, "run `make docs`"
