"""The tiny workflow runs once for all tests of this folder, also where several processes run them."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from tiny_workflow import snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder in which the tiny workflow has run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # each process has a folder of its own below
    folder, failure = shared / "tiny-workflow", shared / "tiny-workflow.failed"
    with FileLock(shared / "tiny-workflow.lock"):
        if failure.exists():
            pytest.fail(failure.read_text())
        if not folder.exists():
            folder.mkdir()
            run = snakemake(folder)
            if run.returncode != 0 or "correlation" not in run.stdout:  # the closing table
                failure.write_text(run.stderr[-3000:])
                pytest.fail(failure.read_text())
    return folder
