"""Documentation: what it names is there, and what it shows is valid."""

import re
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from documentation import ROOT, blocks, pages
from v4egg.workflow.configuration import check

LANGUAGES = {"python", "sh", "yaml", "mermaid", "text"}
FOLDERS = ("src", "workflow", "config", "profiles", "envs", "tests", "benchmarks", "docs", ".ci", ".github")
PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*\w")
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_paths_are_there(page):
    missing = [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        assert path.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, link


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_make_targets_are_there(page):
    named = re.findall(r"(?:`|^)make ([\w-]+)", page.read_text(), re.MULTILINE)
    assert set(named) <= TARGETS


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_blocks_have_a_language(block):
    assert block.language in LANGUAGES


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_configurations_are_valid(block):
    if block.reason:
        pytest.skip(block.reason)
    config, shown = {}, yaml.safe_load(block.text)
    if "name" not in shown:  # an overlay, laid over the demo
        config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    update_config(config, shown)
    assert check(config, ROOT / "workflow/schemas/config.schema.yaml")["name"]
