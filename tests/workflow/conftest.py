"""The tiny workflow runs once for all tests of this folder."""

from pathlib import Path

import pytest

from tiny_workflow import snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder in which the tiny workflow has run."""
    folder = tmp_path_factory.mktemp("tiny")
    run = snakemake(folder)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "correlation" in run.stdout  # the closing table
    return folder
