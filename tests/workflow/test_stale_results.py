"""A file that a user gives and then replaces reruns the jobs that read it, whatever its size and times say."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tiny_workflow import run_workflow
from v4egg.workflow.provenance import configuration_digest

TIMM = {"name": "timm", "model": "resnet50", "nodes": ["layer1"], "weights": "resnet.pt"}
FROZEN = {"backbone": TIMM, "size": 56, "views": 1, "shift": 0.0}  # names the folder of its features
CONFIG = {
    "name": "x",
    "sessions": {"s1": {"format": "nwb", "split": "halves", "file": "s1.nwb", "columns": {"images": "pictures"}}},
    "prior": {"pretrained": {"weights": "pipeline"}},
    "encoders": {
        "generators": 1,
        "validators": 1,
        "use_architectures": ["driven"],
        "architectures": {
            "driven": {"core": {"name": "task_driven", "backbone": TIMM}, "readout": {"name": "gaussian"}}
        },
    },
    "synthesis": {"methods": {"evolution": {"image_generator": {"name": "deepsim", "weights": "deepsim.pt"}}}},
    "evolution": {
        "conditions": {"latents": {"neurons": "hidden", "image_generator": {"name": "autoencoder", "weights": "vae"}}}
    },
    "natural": {"k": 1, "folder": "scenes"},
}
GIVEN = {  # file -> the rule that reads it
    "s1.nwb": "read_recording",
    "pictures/a.png": "read_recording",
    "pipeline/unet/weights.safetensors": "import_prior",
    "resnet.pt": "extract_features",
    "deepsim.pt": "synthesize",
    "vae/config.json": "evolve_neurons",
    "scenes/deeper/a.png": "search_natural_images",
}
OUTPUTS = {
    "read_recording": "recordings/s1.zarr",
    "import_prior": "prior.zarr",
    "extract_features": f"features/timm-{configuration_digest(FROZEN)}/s1.zarr",
    "synthesize": "mei/evolution/driven/0.zarr",
    "evolve_neurons": "evolution/latents.zarr",
    "search_natural_images": "natural/driven.zarr",
}
OTHERS = ["pool", "targets", "ranking", "splits", "encoders/driven/m0", "encoders/driven/m1", "responses/s1"]
FIRST = ["read_recording", "import_prior"]  # what they make is read by the others


def changed(folder: Path, rules: list[str], targets: list[str]) -> dict[str, str]:
    """Of some rules, those that would run because of changed params, and what has changed."""
    planned = run_workflow(folder, "-n", "--allowed-rules", *rules, "--", *targets).stdout
    blocks = re.findall(r"^rule (\w+):$(.*?)(?=^rule |\Z)", planned, re.MULTILINE | re.DOTALL)
    return {rule: text for rule, text in blocks if "Params have changed" in text}


@pytest.fixture
def touched(tmp_path) -> tuple[Path, dict[str, str]]:
    """A folder in which all jobs that read given files have run, as far as Snakemake knows; and what each made."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for name in GIVEN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    made = {rule: f"results/x/{path}" for rule, path in OUTPUTS.items()}
    for path in [*made.values(), *(f"results/x/{name}.zarr" for name in OTHERS)]:
        (tmp_path / path).mkdir(parents=True)
    run = run_workflow(tmp_path, "--touch", "--forceall", "--allowed-rules", *OUTPUTS, "--", *made.values())
    assert run.returncode == 0, run.stderr
    return tmp_path, made


def test_replaced_files_rerun_the_rules_that_read_them(touched):
    folder, made = touched
    nothing = run_workflow(folder, "-n", "--allowed-rules", *OUTPUTS, "--", *made.values())
    assert "Nothing to be done" in nothing.stdout + nothing.stderr
    for name in GIVEN:
        before = (folder / name).with_suffix(".before")
        shutil.copy2(folder / name, before)
        (folder / name).write_text("two")  # as many bytes
        shutil.copystat(before, folder / name)  # and the time of before
        before.unlink()
    later = [rule for rule in OUTPUTS if rule not in FIRST]
    found = changed(folder, FIRST, [made[rule] for rule in FIRST])
    found |= changed(folder, later, [made[rule] for rule in later])
    assert set(found) == set(GIVEN.values())
    # both the file and the folder beside it
    assert len(re.findall(r"'\w{16}'", found["read_recording"])) == 4
