"""Scripts of circuits and adversarial images, on small students of a small session."""

import numpy as np
import pandas as pd
import pytest
import torch

from small_models import save_small_encoder
from v4egg.compact.model import STAGES, networks_dataset
from v4egg.compact.network import CompactNetwork, map_size, tensor_shapes
from v4egg.compact.sources import held_out_images, load_models
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings.recording import Recording, load_recording
from v4egg.recordings.responses import Responses, load_responses
from v4egg.seeding import torch_generator

SIZE = 16
UNITS = ["s1-u000", "s1-u001"]
WILDCARDS = {"model_source": "students", "session": "s1"}


def network(width, *key):
    draw = torch_generator("script network", *key)
    shapes = tensor_shapes((width,) * 5, map_size(SIZE))
    return CompactNetwork({name: torch.randn(shape, generator=draw) / 5 for name, shape in shapes.items()})


@pytest.fixture
def session(tmp_path):
    """Stores of a session's students, recording and responses, whose last six images are test images."""
    stages = {stage: [network(4 - (stage != "distilled"), stage, unit) for unit in UNITS] for stage in STAGES}
    students = networks_dataset(stages, UNITS, SIZE, (2, 2, 1, 1))
    paths = {name: str(tmp_path / f"{name}/s1.zarr") for name in ("compact", "recording", "responses")}
    stores.save(students, paths["compact"], "compact")
    images = np.random.default_rng(0).integers(0, 255, (12, 3, 20, 20), dtype=np.uint8)
    names, counts = [f"i{i}" for i in range(12)], np.ones((12, 2, 2), np.float32)
    Recording("s1", images, pd.DataFrame(index=UNITS), names, counts=counts).save(paths["recording"])
    numbers = np.ones(2, np.float32)
    by_unit = dict.fromkeys(("reliability", "signal_to_noise", "mean_count", "sd_count"), numbers)
    split = np.array(["train"] * 6 + ["test"] * 6)
    Responses("s1", names, UNITS, counts, split, selected=numbers > 0, **by_unit).save(paths["responses"])
    return paths


def tune(run_script, session, tmp_path):
    path = str(tmp_path / "tuning.zarr")
    params = {"path": session["compact"], "options": {"places": 1, "samples": 1}}
    run_script("tune_compact_models", input=[session["compact"]], output=[path], params=params, wildcards=WILDCARDS)
    return path


def test_a_dot_detector_is_searched_among_all_students(run_script, session, tmp_path):
    path, out = tune(run_script, session, tmp_path), str(tmp_path / "dot.zarr")
    params = {"paths": {"s1": session["compact"]}, "numbers": {"draws": 2, "seed": 1}}
    wildcards = {"model_source": "students"}
    run_script("find_dot_detector", input={"tuning": [path]}, output=[out], params=params, wildcards=wildcards)
    found = stores.load(out, "dot_detector")
    assert found["unit"].values.tolist() == UNITS
    assert found.attrs["unit"] == UNITS[int(np.nanargmax(found["dot_index"].values))]
    assert found["map"].shape == (5, 3, 2, SIZE, SIZE)
    assert f"{found.attrs['unit']} has the highest dot index of 2 units" in (tmp_path / "log").read_text()


def test_filters_are_compared_with_those_before_pruning(run_script, session, tmp_path):
    out = str(tmp_path / "circuits.zarr")
    inputs = {name: session[name] for name in ("recording", "responses")}
    params = {"path": session["compact"], "numbers": {"images": 3, "seed": 1}}
    run_script("compare_filters", input=inputs, output=[out], params=params, wildcards=WILDCARDS)
    found = stores.load(out, "circuits")
    assert found["condition"].values.tolist() == ["models", "shuffled", "unpruned"]
    assert (found["filters"] == 3).all()
    assert found.attrs["session"] == "s1"


@pytest.fixture
def member(tmp_path) -> str:
    return save_small_encoder(tmp_path / "m0.zarr", UNITS[:1], size=SIZE)


def judged(session, member, **more):
    params = {
        "path": session["compact"],
        "members": {"attention": [member]},
        "external_judges": {},
        "teachers": ["attention"],
    }
    return {**params, **more}


def test_adversarial_images_are_of_test_images_and_the_teacher_took_part(run_script, session, member, tmp_path):
    out = str(tmp_path / "adversarial.zarr")
    inputs = {name: session[name] for name in ("recording", "responses")}
    options = {"epsilons": [0.02], "images": 2, "steps": 2, "draws": 2, "reference": 5}
    params = judged(session, member, options=options, seed=1)
    run_script("adversarial_images", input=inputs, output=[out], params=params, wildcards=WILDCARDS)
    found = stores.load(out, "adversarial")
    assert found["judge"].values.tolist() == ["students", "attention"]
    assert found["shares_weights"].all()
    test = load_recording(session["recording"]).images[6:]
    assert np.array_equal(found["natural_image"].values, test[found["position"].values])
    assert np.isnan(found["adversarial"].sel(judge="attention", unit=UNITS[1])).all()  # not among its units
    assert float(found["rms"].max()) <= 0.02 * (1 + 1e-5)


def test_maximizing_images_go_through_transfer(run_script, session, member, tmp_path):
    images, out = str(tmp_path / "maximizing.zarr"), str(tmp_path / "transfer.zarr")
    params = {"path": session["compact"], "options": {"steps": 4, "samples": 1}, "seed": 1}
    made = {"input": [session["compact"]], "output": [images], "params": params, "wildcards": WILDCARDS}
    run_script("maximize_compact_models", **made)
    inputs = {"images": images, "recording": session["recording"], "natural_responses": []}
    params = judged(session, member)
    run_script("transfer_maximizing", input=inputs, output=[out], params=params, wildcards=WILDCARDS)
    found = stores.load(out, "transfer")
    assert found["method"].values.tolist() == ["maximizing", "model_selected_natural", "noise"]
    assert found["arch"].values.tolist() == ["students"]
    own = found["activation"].sel(judge="students").isel(arch=0, sample=0).sel({"method": "maximizing"}).values
    np.testing.assert_allclose(own, stores.load(images)["activation"].max("step").values[:, 0], rtol=1e-4)


def test_sources_know_what_there_is(session):
    assert load_models("students", session["compact"], "s1", "distilled").networks[0].widths == (4,) * 5
    with pytest.raises(V4eggError, match="'others' are unknown; known: published, students"):
        load_models("others", session["compact"], "s1")
    recording, responses = load_recording(session["recording"]), load_responses(session["responses"])
    assert np.array_equal(held_out_images(recording, responses), recording.images[6:])
    responses.split[:] = "train"
    assert len(held_out_images(recording, responses)) == 12
