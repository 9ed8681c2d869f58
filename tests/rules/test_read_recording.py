"""The reading rule through Snakemake: a session becomes a store, and a bad one a line, exit code 1 and nothing else."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from v4egg import load_recording

ROOT = Path(__file__).parents[2]
CONFIG = "name: x\nsessions: {s190923: {format: cowley, split: halves, repeats: 3}}\n"
STORE = "results/x/recordings/s190923.zarr"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six images and four units in the published layout, and a configuration that reads them."""
    generator = np.random.default_rng(0)
    data = tmp_path / "V4_compact_models/data_V4_responses"
    for part in ("images", "responses_repeat_averaged"):
        (data / part).mkdir(parents=True)
    with zipfile.ZipFile(data / "images/images_190923.zip", "w") as archive:
        for i in range(6):
            picture = io.BytesIO()
            Image.fromarray(generator.integers(0, 255, (112, 112, 3), dtype=np.uint8)).save(picture, "JPEG")
            archive.writestr(f"image{i + 1:04d}.jpg", picture.getvalue())
    np.save(data / "responses_repeat_averaged/responses_190923.npy", generator.random((4, 6)))
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def read(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", STORE, "-s", ROOT / "Snakefile", "-d", folder, "--cores", "1"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--configfile", folder / "config.yaml"]
    environment = {**os.environ, "V4EGG_DATA": str(folder)}
    return subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, env=environment, check=False
    )


def test_a_session_becomes_a_store(folder):
    run = read(folder)
    assert run.returncode == 0, run.stderr[-2000:]
    recording = load_recording(folder / STORE)
    assert recording.images.shape == (6, 3, 112, 112)
    assert recording.repeats_averaged == 3


def truncate(folder: Path) -> None:
    path = folder / "V4_compact_models/data_V4_responses/images/images_190923.zip"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def put_infinity(folder: Path) -> None:
    path = folder / "V4_compact_models/data_V4_responses/responses_repeat_averaged/responses_190923.npy"
    responses = np.load(path)
    responses[2, 3] = np.inf
    np.save(path, responses)


@pytest.mark.parametrize(("spoil", "named"), [(truncate, "images_190923.zip"), (put_infinity, "responses_190923.npy")])
def test_a_bad_file_is_one_line_and_leaves_nothing(folder, spoil, named):
    spoil(folder)
    run = read(folder)
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: read_recording s190923:")]
    assert lines
    assert named in lines[0]
    assert "Traceback" not in run.stderr
    assert not list((folder / "results/x/recordings").glob("*"))
