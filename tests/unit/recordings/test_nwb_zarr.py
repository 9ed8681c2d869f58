"""NWB over Zarr: with hdmf-zarr where it is installed, and else with the way on."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwb_files import NAMES, ORDER, Session
from v4egg.errors import V4eggError
from v4egg.recordings.readers import nwb_zarr
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.recordings.responses import count_spikes


def refusal(path):
    with pytest.raises(V4eggError) as caught:
        read_nwb(path, "s1")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("mark", "version"), [("zarr.json", 3), (".zgroup", 2)])
@pytest.mark.parametrize(
    ("python", "way"),
    [((3, 13), "install what reads it: pip install 'v4egg[nwb-zarr]'"), ((3, 11), "or export it to HDF5 in")],
)
def test_without_hdmf_zarr_the_message_has_the_way_on(tmp_path, monkeypatch, mark, version, python, way):
    monkeypatch.setitem(sys.modules, "hdmf_zarr", None)
    monkeypatch.setattr(nwb_zarr.sys, "version_info", python)
    path = tmp_path / "s.nwb.zarr"
    path.mkdir()
    (path / mark).write_text("{}")
    told = refusal(path)
    assert f"an NWB file over Zarr (format {version}); " in told and way in told
    if python < (3, 12):
        assert f"H('{tmp_path / 's.nwb'}', 'w').export(Z('{path}', 'r')" in told
        assert "install hdmf-zarr" not in told  # that would replace zarr 3


def test_a_folder_that_is_no_zarr_file(tmp_path):
    assert "a folder that is no Zarr file" in refusal(tmp_path)


def test_pickled_objects_are_not_loaded_and_said_how_to_convert():
    UnsafePickleCodecError = type("UnsafePickleCodecError", (ValueError,), {})  # of hdmf-zarr, by name
    path = Path("a.nwb.zarr")
    expected = r"^a.nwb.zarr: holds pickled objects, which are never loaded; .*allow_pickle=True"
    with pytest.raises(V4eggError, match=expected), nwb_zarr.nothing_unpickled(path):
        raise UnsafePickleCodecError("Refusing to decode")
    with pytest.raises(KeyError), nwb_zarr.nothing_unpickled(path):
        raise KeyError("x")


def test_a_zarr_file_reads_as_its_hdf5_twin(tmp_path):
    """Runs where the extra nwb-zarr is installed."""
    pytest.importorskip("hdmf_zarr.nwb_zarrv2", exc_type=ImportError)
    from hdmf_zarr.nwb import NWBZarrIO

    session = Session().units(location=["V4", "V4"]).presentations([NAMES[k] for k in ORDER]).images()
    path = session.write(tmp_path)
    with NWBHDF5IO(path, "r") as source, NWBZarrIO(str(tmp_path / "session.nwb.zarr"), "w") as target:
        target.export(src_io=source, write_args={"link_data": False})
    first, second = (
        read_nwb(tmp_path / name, "s1", columns={"axes": "yx"}) for name in (path.name, "session.nwb.zarr")
    )
    assert second.image_ids == first.image_ids
    np.testing.assert_array_equal(second.images, first.images)
    np.testing.assert_array_equal(count_spikes(second), count_spikes(first))
    assert second.units["location"].tolist() == ["V4", "V4"]
