"""Recordings are read before anything is trained."""

import yaml

from tiny_workflow import run_workflow

SIMULATION = {"n_units": 3, "n_images": 20, "n_test_images": 6, "repeats": [1, 2], "test_repeats": 3, "image_size": 32}
CONFIG = {
    "name": "x",
    "sessions": {
        "good": {"format": "simulated", "split": "repeated", "min_repeats": 3, "simulation": SIMULATION},
        "bad": {"format": "nwb", "split": "halves", "file": "bad.nwb"},
    },
    "prior": {"pretrained": {"weights": "weights.pt"}},
}


def test_a_recording_that_cannot_be_read_leaves_everything_untrained(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name in ("bad.nwb", "weights.pt"):
        (tmp_path / name).write_text("nothing")
    run = run_workflow(tmp_path, "--keep-going")
    assert run.returncode != 0
    assert "error: read_recording bad: bad.nwb: " in run.stderr
    results = tmp_path / "results/x"
    assert {path.name for path in results.iterdir()} <= {"simulated", "recordings", "logs", "benchmarks", "config.yaml"}
    started = {path.stem for path in (results / "logs").iterdir()}
    assert started <= {"simulate_recording", "read_recording", "write_configuration", "summary"}
