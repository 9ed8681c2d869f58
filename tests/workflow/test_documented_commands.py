"""Every block of Python and of shell in the documentation runs, or says why it does not."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import pytest

from documentation import ROOT, Block, blocks
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


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each line of a block of shell that is executed."""
    if block.language == "sh" and not block.reason:
        yield from filter(None, (shlex.split(line, comments=True) for line in block.text.splitlines()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page[0].page.name)
def test_blocks_run_one_after_another(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {"__name__": "documentation"}
    for block in page:
        if block.language == "python" and not block.reason:
            exec(compile(block.text, str(block), "exec"), names)
        for words in commands(block):
            if words[0] in ("make", "snakemake"):  # targets are looked up, and rules are planned, by other tests
                continue
            assert words[0] == "python", f"{block}: neither make, snakemake nor python; mark it as not executed"
            run = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
            assert run.returncode == 0, f"{block}: {shlex.join(words)}\n{run.stderr[-2000:]}"


def test_snakemake_commands_can_be_planned(tmp_path):
    found = {tuple(words) for page in PAGES for block in page for words in commands(block) if words[0] == "snakemake"}
    assert len(found) > 3

    def plan(numbered: tuple[int, tuple[str, ...]]) -> str:
        number, words = numbered
        dry = ["--dry-run", "--quiet", "--directory", str(tmp_path / str(number))]
        run = subprocess.run(
            [sys.executable, "-m", *words, *dry],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        return "" if run.returncode == 0 else f"{shlex.join(words)}\n{run.stderr[-2000:]}"

    with ThreadPoolExecutor(2) as pool:
        failed = [text for text in pool.map(plan, enumerate(sorted(found))) if text]
    assert not failed, "\n".join(failed)


def test_the_rule_graph_is_current():
    page = (ROOT / "docs/architecture.md").read_text()
    assert rule_graph.render(page, rule_graph.rule_graph(ROOT, TINY)) == page, "run `make docs`"
