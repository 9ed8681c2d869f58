"""The tiny workflow with its results in a bucket of a local S3 server: the stores of a run on disk, in few objects."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

boto3 = pytest.importorskip("boto3", reason="envs/cloud.lock is not installed")
moto_server = pytest.importorskip("moto.server", reason="envs/cloud.lock is not installed")

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = [ROOT / "tests/workflow/tiny.yaml", ROOT / "tests/cluster/part.yaml"]
TARGET = "results/tiny/encoders/scores.zarr"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
pytestmark = pytest.mark.cloud


@pytest.fixture
def endpoint():
    """The address of an S3 server that listens on this machine only."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def sent(tmp_path) -> Path:
    """What Snakemake sends to a pod: Snakefiles, scripts and environments. All else is in the image."""
    folder = tmp_path / "sent"
    for part in ("workflow/rules", "workflow/scripts", "envs"):
        shutil.copytree(ROOT / part, folder / part)
    for file in ("Snakefile", "workflow/Snakefile"):
        shutil.copy(ROOT / file, folder / file)
    return folder


def run(root: Path, folder: Path, profile: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", TARGET, "--snakefile", root / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", ROOT / f"profiles/{profile}", "--cores", "2", *arguments]
    command += ["--configfile", *CONFIGURATIONS]
    environment = {**os.environ, **KEYS, "V4EGG_HOME": str(ROOT)}
    environment.pop("V4EGG_DATA", None)
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_kubernetes_profile_plans_the_workflow(endpoint, sent, tmp_path):
    bucket = ["--default-storage-prefix", "s3://v4egg/runs", "--storage-s3-endpoint-url", endpoint]
    planned = run(sent, tmp_path, "kubernetes", "--dry-run", *bucket)
    (training,) = re.findall(r"rule train_encoder:(?:(?!rule ).)*member=m0.*?resources: (.*?)\n", planned, re.DOTALL)
    assert {"gpu=1", "gpu_manufacturer=nvidia", "scale=0", "mem_mb=3000"} <= set(training.split(", "))


def test_results_in_a_bucket_are_those_of_a_disk(endpoint, sent, tmp_path, content):
    local, remote, fetched = (tmp_path / name for name in ("local", "remote", "fetched"))
    for folder in (local, remote):
        folder.mkdir()
    storage = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://v4egg/runs"]
    storage += ["--storage-s3-endpoint-url", endpoint, "--shared-fs-usage", "none"]
    run(sent, remote, "default", *storage)
    bucket = boto3.resource(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    ).Bucket("v4egg")
    objects: dict[str, int] = {}
    for entry in bucket.objects.filter(Prefix="runs/results/tiny/"):
        path = fetched / entry.key.removeprefix("runs/")
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(entry.key, str(path))
        store = entry.key.partition(".zarr/")[0]
        objects[store] = objects.get(store, 0) + 1
    found = content(fetched / "results/tiny")
    assert not list((remote / "results").rglob("*.zarr"))
    assert max(objects.values()) < 40
    run(ROOT, local, "default")
    assert len(found) >= 8
    assert found == content(local / "results/tiny")
