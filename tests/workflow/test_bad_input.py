"""Bad input ends the run before anything is made: one line that names file or key, exit code not zero."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dry_run(folder: Path, config: str, **environment: str) -> str:
    """What a dry run of that configuration prints; it must fail."""
    (folder / "config.yaml").write_text(config)
    clean = {name: value for name, value in os.environ.items() if name != "V4EGG_DATA"}
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "-s",
            str(ROOT / "Snakefile"),
            "-d",
            str(folder),
            "-n",
            "--configfile",
            str(folder / "config.yaml"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**clean, **environment},
        check=False,
    )
    assert run.returncode != 0
    assert not (folder / "results").exists()
    assert "Traceback" not in run.stderr
    return run.stderr + run.stdout


COWLEY = "name: x\nsessions: {s190923: {format: cowley, split: halves}}\n"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (COWLEY + "encoders: {member: 3}\n", "'encoders.member' is unknown"),
        (COWLEY + "seed: one\n", "'seed' is 'one'; it must be a whole number"),
        ("name: x\nsessions: {s1: {format: nwb, split: halves}}\n", "sessions.s1.file"),
        (
            COWLEY.replace("s190923", "s210325") + "circuits: {models: [published]}\n",
            "circuits.models' names published; there are published models of no session that gets images (s210325)",
        ),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, config, message):
    assert message in dry_run(tmp_path, config)


def test_a_named_data_folder_that_is_not_there(tmp_path):
    said = dry_run(tmp_path, COWLEY, V4EGG_DATA=str(tmp_path / "nowhere"))
    assert "V4EGG_DATA: there is no folder" in said


def test_an_nwb_file_that_is_not_there(tmp_path):
    said = dry_run(tmp_path, "name: x\nsessions: {s1: {format: nwb, split: halves, file: absent.nwb}}\n")
    assert "sessions.s1.file: there is no absent.nwb; correct the path" in said


def test_a_session_without_images(tmp_path):
    folder = tmp_path / "V4_compact_models/data_V4_responses/responses_repeat_averaged"
    folder.mkdir(parents=True)
    (folder / "responses_190923.npy").write_bytes(b"")
    said = dry_run(tmp_path, COWLEY, V4EGG_DATA=str(tmp_path))
    assert "session s190923: there is no" in said
    assert "images_190923.zip; complete the folder" in said
