"""A teacher is asked, students are made in two jobs and gathered: through the scripts of their rules."""

import numpy as np
import pandas as pd
import pytest
import torch

from small_models import save_small_encoder
from v4egg import load_recording, load_responses
from v4egg.compact.model import load_compact_models
from v4egg.images.processing import to_float
from v4egg.io import stores
from v4egg.recordings.recording import Recording
from v4egg.seeding import numpy_generator

UNITS = ["s1-u000", "s1-u001"]
VIEWS = {"size": 12, "views": 2, "scale": 0.7, "contrast": 0.6, "mirror": True, "pruning": 0.2, "test": 0.2}
OPTIONS = {
    "widths": [4, 4, 4, 4, 4],
    "batch_size": 8,
    "sample": 0.5,
    "smoothing": 3,
    "distillation": {"epochs": 1, "learning_rate": 0.01},
    "retraining": {"epochs": 1, "learning_rate": 0.01},
    "keep_r2": 0.9,
    "keep_output": 0.9,
    "units_at_once": 2,
}


@pytest.fixture
def inputs(tmp_path, run_script):
    """A session of 48 images shown three times, its halves, and a member of an ensemble."""
    draw = numpy_generator("compact scripts")
    images = draw.integers(0, 256, (48, 3, 4, 4), dtype=np.uint8).repeat(5, 2).repeat(5, 3)
    counts = images.mean((1, 2, 3))[:, None, None] / 40 + draw.random((48, 3, 2))
    recording = str(tmp_path / "recordings/s1.zarr")
    units, ids = pd.DataFrame(index=UNITS), [f"i{i}" for i in range(48)]
    Recording("s1", images, units, ids, counts=counts.astype(np.float32)).save(recording)
    splits, responses = str(tmp_path / "splits.zarr"), str(tmp_path / "responses.zarr")
    options = {"validation_fraction": 0.2, "near_duplicate": 0.9999}
    params = {"policies": {"s1": {"split": "halves"}}, "seed": 0, "options": options, "window": [0.07, 0.17]}
    run_script("split_images", input=[recording], output=[splits], params=params)
    count = {"seed": 0, "options": {"window": [0.07, 0.17], "selection": {"min_reliability": -1}}}
    given = {"recording": recording, "splits": splits}
    run_script("count_responses", input=given, output=[responses], params=count, wildcards={"session": "s1"})
    member = save_small_encoder(tmp_path / "m0.zarr", UNITS, size=12)
    return {"recording": recording, "splits": splits, "responses": responses, "member": member}


def test_from_teacher_to_compact_models(tmp_path, run_script, inputs):
    shared = {"state": str(tmp_path / "state"), "seed": 1, "code": "x"}
    run_script(
        "teach",
        input={
            "members": [inputs["member"]],
            "recordings": [inputs["recording"]],
            "responses": [inputs["responses"]],
            "splits": inputs["splits"],
        },
        output=[str(tmp_path / "teacher.zarr")],
        params=shared | {"options": VIEWS, "pool": {"size": 20, "sessions": True, "photographs": 0}},
    )
    teacher = stores.load(tmp_path / "teacher.zarr", "teacher")
    assert len(set(teacher["duplicate_group"].values)) == 24  # the first half of the session; the second is scored on
    assert teacher.sizes["shown"] == 24
    given = {name: inputs[name] for name in ("recording", "responses")} | {"teacher": str(tmp_path / "teacher.zarr")}
    for job in ("0", "1"):
        run_script(
            "distil",
            input=given,
            output=[str(tmp_path / f"s1/{job}.zarr")],
            params=shared | {"options": OPTIONS, "jobs": 2},
            wildcards={"session": "s1", "batch": job},
        )
    assert not list((tmp_path / "state").rglob("state.pt"))
    run_script(
        "gather_compact",
        input={"compact": [str(tmp_path / f"s1/{job}.zarr") for job in ("1", "0")]},
        output=[str(tmp_path / "s1.zarr")],
        params={"external_judge": {}},
        wildcards={"session": "s1"},
    )
    store = stores.load(tmp_path / "s1.zarr", "compact")
    assert store["unit"].values.tolist() == UNITS
    assert np.isfinite(store["r2_er"]).all()
    models = load_compact_models(tmp_path / "s1.zarr")
    shown = load_recording(inputs["recording"]).images[load_responses(inputs["responses"]).images_of("test")]
    counts = load_responses(inputs["responses"]).counts[24:].mean(1)
    with torch.no_grad():
        predicted = models(to_float(shown)).numpy()
    expected = [np.corrcoef(predicted[:, u], counts[:, u])[0, 1] for u in range(2)]
    np.testing.assert_allclose(store["correlation_to_average"].sel(stage="retrained"), expected, atol=1e-4)
