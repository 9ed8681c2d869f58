"""Shared pieces of the tests: one thread a test process, and where real recordings are, if anywhere."""

import os
from pathlib import Path

import pytest
import torch

from v4egg.io import stores

torch.set_num_threads(1)


def pytest_collection_modifyitems(config, items):
    """Workers start with the workflow, which takes longest, so that none of them waits for it at the end."""
    if hasattr(config, "workerinput"):
        parts = {item: item.path.parts for item in items}
        items.sort(key=lambda item: ("test_tiny.py" not in parts[item], "workflow" not in parts[item]))


@pytest.fixture
def public_data() -> Path:
    """The folder of the published recordings; tests that need it are skipped where it is not named."""
    folder = Path(os.environ.get("V4EGG_DATA", "data")) / "V4_compact_models"
    if not folder.is_dir():
        pytest.skip("V4EGG_DATA names no folder with V4_compact_models")
    return folder


@pytest.fixture
def content():
    """``content(folder)``: digest of what each store under a folder holds, by its path; seconds taken do not count."""

    def digests(folder: Path) -> dict[str, str]:
        paths = sorted(folder.rglob("*.zarr"))
        return {
            str(path.relative_to(folder)): stores.digest(stores.load(path).drop_vars("seconds", errors="ignore"))
            for path in paths
        }

    return digests


@pytest.fixture
def killed_at():
    """``killed_at(step)``: a progress that is interrupted at that step, as by Ctrl-C."""

    def interrupted(last: int):
        def progress(steps):
            for step in steps:
                if step == last:
                    raise KeyboardInterrupt
                yield step

        return progress

    return interrupted
