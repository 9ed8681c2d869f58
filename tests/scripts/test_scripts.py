"""Scripts are thin: they read what the rule gives them, write one store, and fail in one line."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from PIL import Image

from small_models import ARCHITECTURE, save_small_encoder
from v4egg import load_encoder, load_recording, load_responses
from v4egg.images.processing import to_float
from v4egg.io import stores
from v4egg.recordings.recording import Recording
from v4egg.workflow.models.encoders import Training

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
RULES = Path(__file__).parents[2] / "workflow/rules"


@pytest.fixture
def recording(tmp_path) -> str:
    """A session of 12 images, 3 repeats and 2 units that like bright images."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (12, 3, 20, 20), dtype=np.uint8) // 4 + np.arange(12, dtype=np.uint8)[
        :, None, None, None
    ] * np.uint8(15)
    counts = images.mean((1, 2, 3))[:, None, None] / 40 + generator.random((12, 3, 2))
    units = pd.DataFrame(index=["s1-u000", "s1-u001"])
    path = tmp_path / "recordings/s1.zarr"
    Recording("s1", images, units, [f"i{i}" for i in range(12)], counts=counts.astype(np.float32)).save(path)
    return str(path)


@pytest.fixture
def member(tmp_path) -> str:
    """A small untrained generator of the units s1-u000 to s1-u004."""
    return save_small_encoder(tmp_path / "encoders/attention/m0.zarr", [f"s1-u{i:03d}" for i in range(5)])


def targets(path, units) -> str:
    correlation = xr.DataArray([[0.5] * len(units)], dims=("arch", "unit"), coords={"arch": ["a"], "unit": units})
    stores.save(xr.Dataset({"validator_correlation": correlation}), path, "targets")
    return str(path)


def split_and_count(run_script, tmp_path, recording, policy="halves", **options):
    run_script(
        "split_images",
        input=[recording],
        output=[str(tmp_path / "splits.zarr")],
        params={
            "policies": {"s1": {"split": policy}},
            "seed": 0,
            "options": {"validation_fraction": 0.2, "near_duplicate": 0.9999},
            "window": [0.07, 0.17],
        },
    )
    run_script(
        "count_responses",
        input={"recording": recording, "splits": str(tmp_path / "splits.zarr")},
        output=[str(tmp_path / "responses.zarr")],
        params={"seed": 0, "options": {"window": [0.07, 0.17], "selection": options}},
        wildcards={"session": "s1"},
    )
    return load_responses(tmp_path / "responses.zarr")


def test_every_script_has_its_rule_and_the_other_way_round():
    rules = "".join(path.read_text() for path in RULES.rglob("*.smk"))
    assert {path.name for path in SCRIPTS.glob("*.py")} == set(re.findall(r'"\.\./scripts/(\w+\.py)"', rules))


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_are_thin_and_do_not_read_the_configuration(path):
    text = path.read_text()
    assert "snakemake.config" not in text
    assert len(text.splitlines()) < 60
    assert ast.get_docstring(ast.parse(text))


def test_split_and_count(run_script, tmp_path, recording):
    responses = split_and_count(run_script, tmp_path, recording, min_reliability=0.3)
    assert list(responses.split[6:]) == ["test"] * 6
    assert set(responses.split[:6]) == {"train", "validation"}
    assert responses.selected.all()
    assert "2 of 2 units selected" in (tmp_path / "log").read_text()


def test_an_error_is_one_line_in_log_and_terminal_and_leaves_nothing(run_script, tmp_path, recording, capsys):
    with pytest.raises(SystemExit) as caught:
        split_and_count(run_script, tmp_path, recording, min_reliability=1.1)
    assert caught.value.code == 1
    log = (tmp_path / "log").read_text()
    assert log.startswith("error: count_responses s1: session s1")
    assert log.count("\n") == 1
    assert log in capsys.readouterr().err
    assert not list(tmp_path.glob("responses*"))


def test_a_gpu_that_is_not_there_is_said(run_script, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        run_script("write_configuration", output=[str(tmp_path / "c.yaml")], params={"config": {}}, gpu=1)
    assert "run with --resources gpu=0" in (tmp_path / "log").read_text()


def test_configuration_is_written_as_used(run_script, tmp_path):
    run_script("write_configuration", output=[str(tmp_path / "c.yaml")], params={"config": {"name": "x", "seed": 4}})
    assert yaml.safe_load((tmp_path / "c.yaml").read_text()) == {"name": "x", "seed": 4}


def test_image_pool_leaves_test_images_out(run_script, tmp_path, recording):
    split_and_count(run_script, tmp_path, recording)
    run_script(
        "image_pool",
        input={"recordings": [recording], "splits": str(tmp_path / "splits.zarr")},
        output=[str(tmp_path / "pool.zarr")],
        params={"seed": 0, "options": {"size": 20, "sessions": True, "photographs": 0}},
    )
    pool = stores.load(tmp_path / "pool.zarr", "pool")["images"].values
    assert np.array_equal(pool, load_recording(recording).images[:6])


def test_grey_recordings_make_a_grey_pool_and_grey_encoders(run_script, tmp_path, recording):
    colourful = load_recording(recording)
    replace(colourful, images=colourful.images[:, :1]).save(recording)
    split_and_count(run_script, tmp_path, recording, min_reliability=-1)
    splits, pool = str(tmp_path / "splits.zarr"), str(tmp_path / "pool.zarr")
    run_script(
        "image_pool",
        input={"recordings": [recording], "splits": splits},
        output=[pool],
        params={"seed": 0, "options": {"size": 20, "sessions": True, "photographs": 4}},
    )
    assert stores.load(pool, "pool")["images"].shape == (10, 1, 20, 20)  # colour photographs as well
    training = {**Training(epochs=1, batch_size=4).model_dump(), "size": 16}
    run_script(
        "train_encoder",
        input={"recordings": [recording], "responses": [str(tmp_path / "responses.zarr")], "splits": splits},
        output=[str(tmp_path / "m0.zarr")],
        params={
            "state": str(tmp_path / ".training"),
            "code": "",
            "seed": 1,
            "role": "generator",
            "options": training,
            "architecture": ARCHITECTURE,
        },
        wildcards={"arch": "attention", "member": "m0"},
    )
    assert load_encoder(tmp_path / "m0.zarr").stimulus_spec.channels == 1


@pytest.mark.parametrize("every_image", [True, False])
def test_predictions_are_of_all_images_or_of_those_that_are_scored(
    run_script, tmp_path, recording, member, every_image
):
    responses = split_and_count(run_script, tmp_path, recording)
    run_script(
        "predict_responses",
        input={"members": [member], "recording": recording, "responses": str(tmp_path / "responses.zarr")},
        output=[str(tmp_path / "predictions.zarr")],
        params={"members": {"attention": [member]}, "every_image": every_image},
    )
    found = stores.load(tmp_path / "predictions.zarr", "predictions")["response"].sel(arch="attention", member="m0")
    assert list(found["unit"].values) == responses.selected_units
    known = np.flatnonzero(found.notnull().all("unit"))
    scored = sorted([*responses.images_of("validation"), *responses.images_of("test")])
    assert 0 < len(scored) < 12
    assert known.tolist() == (list(range(12)) if every_image else scored)


def synthesize(run_script, tmp_path, member, units, batch, units_per_job):
    path = tmp_path / f"mei/{units_per_job}/{batch}.zarr"
    options = {"steps": 4, "learning_rate": 1.0, "weight_decay": 0.01, "smoothing": 1.0, "norm": 10.0}
    run_script(
        "synthesize",
        input={"members": [member], "targets": targets(tmp_path / "targets.zarr", units)},
        output=[str(path)],
        params={
            "code": "",
            "state": str(tmp_path / ".training"),
            "numbers": {"seed": 1, "samples": 2, "units_per_job": units_per_job, "stop": (batch + 1) * units_per_job},
            "options": {**options, "uncertainty_penalty": 0.2, "jitter": {"copies": 2, "shift": 1, "noise": 0.05}},
        },
        wildcards={"method": "gradient_ascent", "arch": "attention", "batch": str(batch)},
    )
    return str(path)


def test_batches_of_units_change_no_image(run_script, tmp_path, member):
    units = load_encoder(member).units
    whole = synthesize(run_script, tmp_path, member, units, 0, 5)
    parts = [synthesize(run_script, tmp_path, member, units, batch, 2) for batch in range(3)]
    run_script("gather_images", input=parts, output=[str(tmp_path / "gathered.zarr")], params={"kind": "mei"})
    gathered, together = stores.load(tmp_path / "gathered.zarr", "mei"), stores.load(whole, "mei")
    assert list(gathered["unit"].values) == units
    assert np.allclose(gathered["image"], together["image"], atol=1e-5)
    assert gathered.attrs["arch"] == "attention"
    assert (gathered["evaluations"] == 8).all()


def test_a_batch_beyond_the_last_unit_is_empty_and_gathers(run_script, tmp_path, member):
    units = load_encoder(member).units[:2]
    parts = [synthesize(run_script, tmp_path, member, units, batch, 2) for batch in range(2)]
    run_script("gather_images", input=parts, output=[str(tmp_path / "gathered.zarr")], params={"kind": "mei"})
    assert list(stores.load(tmp_path / "gathered.zarr", "mei")["unit"].values) == units


def test_natural_images_are_searched_in_the_pool_and_in_a_folder(run_script, tmp_path, member):
    images = np.random.default_rng(0).integers(0, 255, (7, 3, 16, 16), dtype=np.uint8)
    variables = {"images": (("image", "channel", "y", "x"), images[:4]), "source": ("image", ["pool"] * 4)}
    stores.save(xr.Dataset(variables), tmp_path / "pool.zarr", "pool")
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images[4:]):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"folder/{i}.png")
    ensemble = load_encoder(member)
    units = ensemble.units[:3]
    run_script(
        "search_natural_images",
        input={
            "pool": str(tmp_path / "pool.zarr"),
            "members": [member],
            "targets": targets(tmp_path / "targets.zarr", units),
        },
        output=[str(tmp_path / "natural.zarr")],
        params={
            "options": {"k": 2, "folder": str(tmp_path / "folder"), "batch_size": 3, "pixel_range": None},
            "images": {"size": 16, "aspect": None, "background": 0.5},
        },
        wildcards={"arch": "attention"},
    )
    found = stores.load(tmp_path / "natural.zarr", "natural")
    order = np.argsort(-ensemble(to_float(images))[:, :3].numpy(), axis=0)[:2].T
    assert np.array_equal(found["position"].values, order)
    assert found["source"].values[0, 0] == ("pool" if order[0, 0] < 4 else f"{order[0, 0] - 4}.png")
    assert "7 images searched" in (tmp_path / "log").read_text()
