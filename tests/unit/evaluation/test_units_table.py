"""The table of all units says how each was recorded and predicted, and why it is left out."""

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.evaluation.tables.units import table
from v4egg.io import stores
from v4egg.recordings.recording import Recording, load_recording
from v4egg.recordings.responses import make_responses

SELECTION = {"min_mean_count": 1.0}


def test_every_unit_has_its_numbers_and_its_reason(tmp_path, monkeypatch):
    units = ["s1-u000", "s1-u001", "s1-u002"]
    counts = np.zeros((4, 2, 3), "float32")
    counts[..., 0] = [[1, 2], [4, 3], [6, 7], [2, 2]]
    counts[..., 1] = counts[..., 0] / 10
    images = np.zeros((4, 1, 8, 8), "uint8")
    Recording("s1", images, pd.DataFrame(index=units), list("abcd"), counts=counts).save(tmp_path / "recording.zarr")
    recording = load_recording(tmp_path / "recording.zarr")
    split = np.array(["train", "train", "validation", "test"])
    make_responses(recording, split, selection=SELECTION).save(tmp_path / "responses.zarr")
    given = {"scores": predictions(), "targets": targets()}
    load = stores.load
    monkeypatch.setattr(stores, "load", lambda path, kind=None: given[kind] if kind in given else load(path, kind))
    paths = [[tmp_path / "recording.zarr"], [tmp_path / "responses.zarr"]]
    listed = table(*paths, "scores.zarr", "targets.zarr", selection=SELECTION).set_index("unit")
    assert listed["selected"].tolist() == [True, False, False]
    assert listed["target"].tolist() == [True, False, False]
    assert listed["left_out_because"].tolist() == [
        "",
        "mean count 0.38 is below responses.selection.min_mean_count 1",
        "silent or constant over the fit images; mean count 0 is below responses.selection.min_mean_count 1",
    ]
    assert listed["validation_correlation"].tolist()[0] == 0.5
    assert listed["validation_correlation"].isna().tolist() == [False, True, True]
    assert list(listed.columns)[-4:] == ["validation_correlation", "selected", "target", "left_out_because"]


def predictions():
    coords = {"arch": ["a", "b"], "member": ["validators"], "split": ["validation"], "unit": ["s1-u000"]}
    values = np.array([0.4, 0.6]).reshape(2, 1, 1, 1)
    return xr.Dataset({"correlation_to_average": (("arch", "member", "split", "unit"), values)}, coords)


def targets():
    return xr.Dataset(coords={"unit": ["s1-u000"]})
