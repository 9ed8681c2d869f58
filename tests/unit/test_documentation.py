"""Documentation: what it names is there, and what it shows is valid."""

import re
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from documentation import ROOT, blocks, pages
from v4egg.workflow.configuration import check
from v4egg.workflow.configuration_errors import RENAMED

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


def test_github_runs_what_ci_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert ".ci/run" in [step.get("run") for step in workflow["jobs"]["check"]["steps"]]


@pytest.mark.parametrize("template", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=_name)
def test_issue_templates_have_what_github_needs(template):
    form = yaml.safe_load(template.read_text())
    if template.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_hooks_are_those_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    for hook in hooks:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert f"$(BIN)/{tool}" in lint, hook["id"]


def test_papers_are_cited_with_authors_and_doi():
    references = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    assert [len(reference["authors"]) for reference in references] == [12, 2, 4]
    dois = [reference.get("doi") or reference["identifiers"][0]["value"] for reference in references]
    assert dois == ["10.1101/2023.05.18.541176", "10.1371/journal.pcbi.1007973", "10.1038/s41586-026-10150-1"]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_the_changelog_names_every_renamed_key(old, new):
    rows = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("| ")]
    last = old.rsplit(".", 1)[-1]
    assert [row for row in rows if re.search(rf"[`.]{last}`", row) and f"`{new}`" in row], old


def test_the_workflow_catalog_is_told_what_there_is():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["mandatory-flags"]["flags"] == ""
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    deployed = {name for name, possible in usage["software-stack-deployment"].items() if possible}
    assert deployed == {name for name in ("conda", "apptainer") if f".{name}_env" in rules or f"{name}:" in rules}
    assert usage["report"] == ("report:" in (ROOT / "workflow/Snakefile").read_text())
    for name in ("config/README.md", "config/config.yaml", "workflow/Snakefile"):  # what standardized usage asks for
        assert (ROOT / name).is_file(), name
