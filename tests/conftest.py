"""Shared pieces of the tests: one thread a test process, and where real recordings are, if anywhere."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def public_data() -> Path:
    """The folder of the published recordings; tests that need it are skipped where it is not named."""
    folder = Path(os.environ.get("V4EGG_DATA", "data")) / "V4_compact_models"
    if not folder.is_dir():
        pytest.skip("V4EGG_DATA names no folder with V4_compact_models")
    return folder
