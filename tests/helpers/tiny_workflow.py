"""The workflow at toy size, as tests run it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/workflow/tiny.yaml"


def command(folder: Path, *arguments: str, root: Path = ROOT) -> list[str]:
    """The words of a run with its results in ``folder``."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile", "--directory", folder]
    words += ["--workflow-profile", root / "profiles/default", "--cores", "2", "--configfile", TINY, *arguments]
    return list(map(str, words))


def environment() -> dict[str, str]:
    """The environment of a run, without real recordings."""
    return {name: value for name, value in os.environ.items() if name != "V4EGG_DATA"}


def snakemake(folder: Path, *arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess:
    """Run the workflow with its results in ``folder``."""
    words = command(folder, *arguments, root=root)
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment(), check=False)


def run_workflow(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the workflow in ``folder`` with the ``config.yaml`` there."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    words += ["--workflow-profile", ROOT / "profiles/default", "--cores", "1", "--configfile", folder / "config.yaml"]
    words = [*map(str, words), *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment(), check=False)
