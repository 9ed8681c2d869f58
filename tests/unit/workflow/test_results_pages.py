"""Results pages: every table is current, every number has a run, and every run can be planned."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from v4egg.errors import V4eggError
from v4egg.figures import FIGURES
from v4egg.workflow import results_pages
from v4egg.workflow.configuration import check

ROOT = Path(__file__).parents[3]
DATA = ROOT / "docs/results/data"
NUMBERS = results_pages.read_numbers(DATA)


@pytest.mark.parametrize("page", results_pages.pages(ROOT), ids=lambda page: page.name)
def test_tables_are_current(page):
    assert results_pages.render(page.read_text(), NUMBERS) == page.read_text(), "run `make docs`"


def test_the_first_page_is_short_and_says_what_judges_are():
    text = (ROOT / "docs/results.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "models of V4 neurons, not neurons" in text


@pytest.mark.parametrize("page", results_pages.pages(ROOT), ids=lambda page: page.name)
def test_numbers_have_a_digit_before_the_point(page):
    assert not re.findall(r"(?<![\w.])-?\.\d+", page.read_text())


def test_every_number_is_shown_on_some_page():
    text = "".join(page.read_text() for page in results_pages.pages(ROOT))
    for topic, rows in NUMBERS.topics.items():
        shown = "|".join(re.findall(rf"<!-- table: {topic} table=(\S+)", text)).split("|")
        assert {row["table"] for row in rows} <= set(shown), topic


def test_every_claim_names_a_figure_and_a_page():
    for claim in NUMBERS.claims:
        assert claim["figure"] in FIGURES
        page = (ROOT / f"docs/results/{claim['page']}.md").read_text()
        assert f"- {claim['run']}," in page, claim["run"]


def _configured() -> list[str]:
    return [run for run, row in NUMBERS.runs.items() if "--configfile" in row["command"]]


@pytest.mark.parametrize("run", _configured())
def test_a_run_has_a_valid_configuration_and_targets_that_it_makes(run):
    command, overlays = NUMBERS.runs[run]["command"].split("--configfile")
    parts = [yaml.safe_load((ROOT / path).read_text()) for path in overlays.split()]
    if "name" not in parts[0]:  # as the Snakefile does, an overlay without a name is laid over the demo
        parts.insert(0, yaml.safe_load((ROOT / "config/config.yaml").read_text()))
    config = {}
    for part in parts:
        update_config(config, part)
    config = check(config, ROOT / "workflow/schemas/config.schema.yaml")
    for target in re.findall(r"results/\S+", command):
        assert target.startswith(f"results/{config['name']}/")
    for names in re.findall(r"figures/{?([\w,]+)}?\.png", command):
        for figure in map(FIGURES.__getitem__, names.split(",")):
            assert figure.when.startswith("{") or figure.is_on(config, {}), figure.target  # braces: a list of the rules


def test_commands_name_no_folder_outside():
    for run, row in NUMBERS.runs.items():
        assert "V4EGG_DATA" not in row["command"] and "../" not in row["command"], run


def test_every_overlay_belongs_to_a_run():
    commands = "".join(row["command"] for row in NUMBERS.runs.values())
    for overlay in (ROOT / "benchmarks/overlays").glob("*.yaml"):
        assert f"benchmarks/overlays/{overlay.name}" in commands, overlay.name


def test_every_script_of_a_run_is_there():
    for row in NUMBERS.runs.values():
        for path in re.findall(r"(?:benchmarks|tests|config)/\S+\.(?:py|yaml)", row["command"]):
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("nothing", "there is no nothing.csv"),
        ("demo colour=red", "unknown: colour"),
        ("demo table=none", "selects no row"),
        ("transfer table=configured|lambda_16 columns=method", "two numbers for EGG"),
    ],
)
def test_a_marker_that_cannot_be_rendered_says_why(marker, message):
    with pytest.raises(V4eggError, match=message):
        results_pages.render(f"<!-- table: {marker} -->\n<!-- end -->", NUMBERS)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("demo.csv", ",demo\n", ",unknown\n", "run 'unknown' is not in runs.csv"),
        ("demo.csv", "key,headline", "key,head", "columns are key, head,"),
        ("claims.csv", "{dd-pub-egg}", "{no-number}", "key 'no-number' belongs to no number"),
    ],
)
def test_files_that_contradict_each_other_are_named(tmp_path, file, old, new, message):
    data = tmp_path / "data"
    shutil.copytree(DATA, data)
    text = (data / file).read_text()
    assert old in text
    (data / file).write_text(text.replace(old, new, 1))
    with pytest.raises(V4eggError, match=message):
        results_pages.render("<!-- claims -->\n<!-- end -->", results_pages.read_numbers(data))


def test_pages_are_written_again(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    page = tmp_path / "docs/results.md"
    current = page.read_text()
    page.write_text(current.replace("| 0.709 |", "| 0.9 |"))
    assert page.read_text() != current
    results_pages.main(tmp_path)
    assert page.read_text() == current
