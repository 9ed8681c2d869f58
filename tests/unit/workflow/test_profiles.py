"""Profiles say what each value is for, and the partition file is one that the Slurm executor reads."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

PROFILES = Path(__file__).parents[3] / "profiles"


@pytest.mark.parametrize("profile", ["default", "slurm", "kubernetes"])
def test_every_value_is_commented(profile):
    """By a comment above it, or above the values that stand together with it."""
    for block in (PROFILES / profile / "config.yaml").read_text().split("\n\n"):
        lines = block.splitlines()
        if any(re.match(r"[a-z]", line) for line in lines):
            assert lines[0].startswith("#"), block


@pytest.mark.parametrize(
    ("resources", "partition"),
    [({"mem_mb": 4000, "runtime": 30}, "cpu"), ({"mem_mb": 6000, "runtime": 240, "gpu": 1}, "gpu")],
)
def test_jobs_go_where_their_resources_are(resources, partition):
    job = SimpleNamespace(name="x", threads=1, resources=resources)
    quiet = SimpleNamespace(debug=lambda text: None, info=lambda text: None, warning=lambda text: None)
    assert get_best_partition(read_partition_file(PROFILES / "slurm/partitions.yaml"), job, quiet) == partition
