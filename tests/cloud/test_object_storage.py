"""The tiny workflow with its results in a bucket of a local S3 server: the stores of a run on disk, in few objects."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = [ROOT / "tests/workflow/tiny.yaml", ROOT / "tests/cluster/part.yaml"]
TARGET = "results/tiny/mei/gradient_ascent/attention.zarr"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
pytestmark = pytest.mark.cloud


@pytest.fixture
def endpoint():
    """The address of an S3 server that listens on this machine only."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def run(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "snakemake", TARGET, "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", ROOT / "profiles/default", "--cores", "2", *arguments]
    command += ["--configfile", *CONFIGURATIONS]
    environment = {**os.environ, **KEYS}
    environment.pop("V4EGG_DATA", None)
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_results_in_a_bucket_are_those_of_a_disk(endpoint, tmp_path, content):
    local, remote, fetched = (tmp_path / name for name in ("local", "remote", "fetched"))
    for folder in (local, remote):
        folder.mkdir()
    storage = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://v4egg/runs"]
    storage += ["--storage-s3-endpoint-url", endpoint, "--shared-fs-usage", "none"]
    run(remote, *storage)
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
    run(local)
    assert len(found) >= 9
    assert found == content(local / "results/tiny")
