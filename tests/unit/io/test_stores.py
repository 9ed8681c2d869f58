"""Stores are whole or absent, typed, and carry their provenance."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from v4egg.errors import V4eggError
from v4egg.io import files, stores


def pool(n=3, size=4):
    images = np.arange(n * 3 * size * size, dtype=np.uint8).reshape(n, 3, size, size)
    return xr.Dataset({"images": (("image", "channel", "y", "x"), images), "source": ("image", ["a", "b", "c"][:n])})


def test_round_trip_keeps_values_types_and_units(tmp_path):
    stores.save(pool(), tmp_path / "p.zarr", "pool", config={"size": 4}, seed=7)
    loaded = stores.load(tmp_path / "p.zarr", "pool")
    assert np.array_equal(loaded["images"], pool()["images"])
    assert loaded["images"].dtype == np.uint8
    assert loaded["images"].attrs["units"] == "intensity 0-255"
    assert [str(s) for s in loaded["source"].values] == ["a", "b", "c"]
    assert json.loads(loaded.attrs["config"]) == {"size": 4}
    assert loaded.attrs["seed"] == 7
    assert "torch" in json.loads(loaded.attrs["versions"])


def test_digest_depends_on_data_alone(tmp_path):
    stores.save(pool(), tmp_path / "a.zarr", "pool", seed=1)
    stores.save(pool(), tmp_path / "b.zarr", "pool", seed=2)
    changed = pool()
    changed["images"][0, 0, 0, 0] = 99
    stores.save(changed, tmp_path / "c.zarr", "pool")
    digests = [stores.load(tmp_path / f"{name}.zarr").attrs["digest"] for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_inputs_are_named_with_their_digests(tmp_path):
    stores.save(pool(), tmp_path / "a.zarr", "pool")
    (tmp_path / "raw.bin").write_bytes(b"raw")
    stores.save(pool(), tmp_path / "b.zarr", "pool", inputs=[tmp_path / "a.zarr", tmp_path / "raw.bin"])
    inputs = json.loads(stores.load(tmp_path / "b.zarr").attrs["inputs"])
    assert inputs["a.zarr"] == stores.load(tmp_path / "a.zarr").attrs["digest"]
    assert len(inputs["raw.bin"]) == 64


def test_failed_write_leaves_the_old_store_and_nothing_else(tmp_path, monkeypatch):
    stores.save(pool(), tmp_path / "p.zarr", "pool")
    before = stores.load(tmp_path / "p.zarr").attrs["digest"]

    def fails(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(zarr, "consolidate_metadata", fails)
    with pytest.raises(OSError, match="disk full"):
        stores.save(pool(2), tmp_path / "p.zarr", "pool")
    assert stores.load(tmp_path / "p.zarr").attrs["digest"] == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.zarr"]


def test_store_without_mark_is_refused(tmp_path):
    pool().to_zarr(tmp_path / "p.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(V4eggError, match="not marked complete"):
        stores.load(tmp_path / "p.zarr")


@pytest.mark.parametrize(("attrs", "written"), [({}, "without a version"), ({"kind_version": 0}, "of version 0")])
def test_store_of_another_version_of_its_kind_is_refused_in_one_line(tmp_path, attrs, written):
    path = tmp_path / "p.zarr"
    stores.save(pool(), path, "pool")
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    kept = {name: value for name, value in group.attrs.asdict().items() if name != "kind_version"}
    group.attrs.put(kept | attrs)
    with warnings.catch_warnings(action="ignore", category=zarr.errors.ZarrUserWarning):
        zarr.consolidate_metadata(path)
    with pytest.raises(
        V4eggError, match=rf"p\.zarr: a 'pool' store {written}.*delete it and run its rule again"
    ) as caught:
        stores.load(path)
    assert "\n" not in str(caught.value)


def test_store_of_a_kind_that_is_gone_is_refused(tmp_path, monkeypatch):
    stores.save(pool(), tmp_path / "p.zarr", "pool")
    monkeypatch.delitem(stores.VERSIONS, "pool")
    with pytest.raises(V4eggError, match="unknown store kind 'pool'"):
        stores.load(tmp_path / "p.zarr")


def test_absent_and_damaged_stores_are_named(tmp_path):
    with pytest.raises(V4eggError, match=r"absent\.zarr: no Zarr store"):
        stores.load(tmp_path / "absent.zarr")
    stores.save(pool(), tmp_path / "p.zarr", "pool")
    (tmp_path / "p.zarr" / "zarr.json").write_text("{ not json")
    with pytest.raises(V4eggError, match="not a readable Zarr store"):
        stores.load(tmp_path / "p.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("source"), r"missing variables: source; unknown variables: none"),
        (lambda d: d.assign(extra=("image", [1, 2, 3])), r"missing variables: none; unknown variables: extra"),
        (lambda d: d.assign(images=d["images"].transpose("image", "y", "x", "channel")), "has dims"),
        (lambda d: d.assign(images=d["images"].astype(float)), "has dtype float64, expected uint8"),
    ],
)
def test_what_does_not_fit_the_kind_is_refused(tmp_path, change, message):
    with pytest.raises(V4eggError, match=message):
        stores.save(change(pool()), tmp_path / "p.zarr", "pool")
    assert list(tmp_path.iterdir()) == []


def test_other_kind_is_refused(tmp_path):
    stores.save(pool(), tmp_path / "p.zarr", "pool")
    with pytest.raises(V4eggError, match="holds 'pool', expected 'mei'"):
        stores.load(tmp_path / "p.zarr", "mei")


def test_a_large_store_is_few_files_and_readable_in_parts(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (600, 3, 80, 80), dtype=np.uint8)
    dataset = xr.Dataset({"images": (("image", "channel", "y", "x"), images), "source": ("image", ["a"] * 600)})
    stores.save(dataset, tmp_path / "p.zarr", "pool")
    assert sum(path.is_file() for path in (tmp_path / "p.zarr").rglob("*")) < 12
    chunks = zarr.open_array(tmp_path / "p.zarr" / "images", mode="r").chunks
    assert chunks[0] < 600
    assert np.array_equal(stores.load(tmp_path / "p.zarr")["images"][417:420], images[417:420])


def test_weights_round_trip_in_a_handful_of_files(tmp_path):
    network = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3) for _ in range(20)), torch.nn.BatchNorm2d(3))
    path = tmp_path / "w.zarr"
    stores.save_weights(network.state_dict(), path, curves={"loss": [2.0, 1.0]}, attrs={"arch": "x"})
    state, attrs = stores.load_weights(path)
    assert attrs["arch"] == "x"
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert sum(p.is_file() for p in Path(path).rglob("*")) < 12


def test_a_store_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, flushed = tmp_path / "x.zarr", []
    flush = files.to_disk
    monkeypatch.setattr(files, "to_disk", lambda *paths: (flushed.append((path.exists(), set(paths))), flush(*paths)))
    stores.save_weights({"w": np.ones(3, np.float32)}, path)
    written = {file.relative_to(path) for file in path.rglob("*")}
    assert {p.relative_to(tmp_path / "x.zarr.tmp") for p in flushed[0][1]} == {*written, Path()}
    assert [named for named, _ in flushed] == [False, True]
