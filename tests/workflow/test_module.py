"""The workflow as a module of another one: its rules under names of their own, its files found where they lie."""

import os
import shutil
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


def snakemake(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name not in ABSENT} | variables
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


def test_a_module_of_a_repository_has_rules_and_scripts_from_there(folder):
    """``github(...)``, with git told that the address is a repository in this folder; the package is installed."""
    repository = folder / "repository"
    for name in ("workflow", "config", "envs"):
        shutil.copytree(ROOT / name, repository / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "all"], ["tag", "v1"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    text = (folder / "Snakefile").read_text()
    source = 'github("someone/v4egg", path="workflow/Snakefile", tag="v1")'
    (folder / "Snakefile").write_text(text.replace(f'"{ROOT}/workflow/Snakefile"', source))
    address = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{repository}.insteadOf"}
    address |= {"GIT_CONFIG_VALUE_0": "https://github.com/someone/v4egg", "XDG_CACHE_HOME": str(folder / "cache")}
    run = snakemake(folder, **address, PYTHONPATH=str(ROOT / "src"))
    assert run.returncode == 0, run.stderr[-2000:]
    assert yaml.safe_load((folder / "copy.yaml").read_text())["name"] == "tiny"
    run = snakemake(folder, "--dry-run", "results/tiny/summary.json", **address, PYTHONPATH=str(ROOT / "src"))
    assert run.returncode == 0, run.stderr[-2000:]
    assert "v4egg_synthesize" in run.stdout


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_either_snakefile_runs_from_another_folder(snakefile, tmp_path):
    run = snakemake(tmp_path, "--snakefile", str(ROOT / snakefile), "--configfile", str(TINY), "--dry-run")
    assert run.returncode == 0, run.stderr[-2000:]
    assert "rule all:" in run.stdout
