"""The workflow as a module of another one: its rules under names of their own, its files found where they lie."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
SNAKEFILE = """
configfile: "config.yaml"


module v4egg:
    snakefile:
        "ROOT/workflow/Snakefile"
    config:
        config["v4egg"]


use rule * from v4egg as v4egg_*


rule mine:
    default_target: True
    input:
        "results/tiny/config.yaml",
    output:
        "copy.yaml",
    shell:
        "cp {input} {output}"
"""

ABSENT = ("V4EGG_DATA", "V4EGG_HOME", "PYTHONPATH")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A workflow of someone else that uses this one."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"v4egg": yaml.safe_load(TINY.read_text())}))
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("ROOT", str(ROOT)))
    return tmp_path


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name not in ABSENT}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_a_rule_of_the_module_runs(folder):
    run = snakemake(folder)
    assert run.returncode == 0, run.stderr[-2000:]
    assert yaml.safe_load((folder / "copy.yaml").read_text())["name"] == "tiny"
    assert "rule v4egg_write_configuration" in run.stdout + run.stderr


def test_the_whole_of_the_module_is_planned(folder):
    run = snakemake(folder, "--dry-run", "results/tiny/summary.json")
    assert run.returncode == 0, run.stderr[-2000:]
    assert "v4egg_synthesize" in run.stdout


def test_the_configuration_of_a_deployed_workflow_is_its_own(folder):
    """As catalogs deploy it: rules keep their names, and the configuration is the whole of the module's."""
    text = SNAKEFILE.replace("ROOT", str(ROOT)).partition("rule mine:")[0]
    text = text.replace('config["v4egg"]', "config").replace(" as v4egg_*", "")
    (folder / "Snakefile").write_text(text)
    (folder / "config.yaml").write_text(TINY.read_text())
    run = snakemake(folder, "--dry-run")
    assert run.returncode == 0, run.stderr[-2000:]
    assert "rule synthesize:" in run.stdout


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_either_snakefile_runs_from_another_folder(snakefile, tmp_path):
    run = snakemake(tmp_path, "--snakefile", str(ROOT / snakefile), "--configfile", str(TINY), "--dry-run")
    assert run.returncode == 0, run.stderr[-2000:]
    assert "rule all:" in run.stdout
