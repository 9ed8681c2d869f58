"""The tiny workflow on a real Slurm that loses a node and a job: it ends by itself, with the stores of a local run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import slurm

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = [ROOT / "tests/workflow/tiny.yaml", Path(__file__).with_name("part.yaml")]
TARGET = "results/tiny/mei/gradient_ascent/attention.zarr"
# short jobs that follow each other are one job of Slurm, which costs seconds of its own
GROUPS = {
    "early": ["simulate_recording", "read_recording", "split_images", "count_responses", "judge_natural_images"],
    "middle": ["score_encoders", "rank_units"],
    "late": ["synthesize", "gather_images"],
}
WHY_NOT = slurm.why_not()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


def command(folder: Path, profile: str, *arguments: str) -> list[str]:
    words = [sys.executable, "-m", "snakemake", TARGET, "--snakefile", ROOT / "Snakefile", "--directory", folder]
    words += ["--workflow-profile", ROOT / f"profiles/{profile}", *arguments, "--configfile", *CONFIGURATIONS]
    return list(map(str, words))


def environment() -> dict[str, str]:
    """This one, with the stand-in GPUs computed on the CPU."""
    own = {name: value for name, value in os.environ.items() if name != "V4EGG_DATA"}
    return {**own, "V4EGG_DEVICE": "cpu"}


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "slurm"
    folder.mkdir()
    with slurm.cluster(folder) as running:
        yield running


def test_a_lost_node_and_a_cancelled_job_change_no_result(cluster, tmp_path, content):
    local, remote = tmp_path / "local", tmp_path / "remote"
    for folder in (local, remote):
        folder.mkdir()
    arguments = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]
    arguments += ["--groups", *(f"{rule}={group}" for group, rules in GROUPS.items() for rule in rules)]
    with (tmp_path / "remote.log").open("w") as log:
        run = subprocess.Popen(
            command(remote, "slurm", *arguments), cwd=remote, env=environment(), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            (lost, node), (cancelled, left) = cluster.running("train_encoder", 2, run)
            slurm.ask("scancel", cancelled)
            cluster.lose(node, lost)
            assert run.wait(timeout=900) == 0, (tmp_path / "remote.log").read_text()[-3000:]
        finally:
            run.kill()
            run.wait()
    assert left != node
    assert f"requeue job JobId={lost} due to failure of node {node}" in (cluster.folder / "slurmctld.log").read_text()
    log = (tmp_path / "remote.log").read_text()
    assert f"'{cancelled}' failed" in log  # and was submitted again
    assert f"'{lost}' failed" not in log  # Slurm itself started it again, elsewhere
    assert "Auto-selected partition 'gpu' for job train_encoder" in log
    assert "Auto-selected partition 'cpu' for job early" in log
    beside = subprocess.run(
        command(local, "default", "--cores", "2"), cwd=local, env=environment(), capture_output=True, text=True
    )
    assert beside.returncode == 0, beside.stderr[-3000:]
    found = content(remote / "results/tiny")
    assert len(found) >= 9
    assert found == content(local / "results/tiny")
