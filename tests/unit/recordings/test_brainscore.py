"""The reader of Brain-Score's assemblies, on small files as brainio packages them: netCDF, a table and a zip file."""

import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.recordings.readers import describe, read_recording
from v4egg.recordings.readers.brainscore import BrainScoreFiles, read_brainscore
from v4egg.seeding import numpy_generator

NEUROIDS = pd.DataFrame(
    {
        "neuroid_id": ["Chabo_L_M_5_9", "Tito_L_P_8_5", "Chabo_L_A_2_0", "Tito_L_M_1_1"],
        "animal": ["Chabo", "Tito", "Chabo", "Tito"],
        "region": ["IT", "V4", "V4", "V4"],
        "x": [0.2, 0.4, 0.6, 0.8],
    }
)
SHOWN = ["b2", "a1", "b2", "c3", "a1", "b2", "d4"]  # images by id; d4 has variation 0
VARIATION = [3, 3, 3, 3, 3, 3, 0]
FILE_OF = {"a1": "im_10.png", "b2": "im_2.png", "c3": "im_1.png", "d4": "im_3.png"}


def picture(name):
    return np.kron(numpy_generator("hvm", name).integers(0, 256, (4, 4)), np.ones((4, 4))).astype("uint8")


def assembly(values, key="image_id", bins=((70, 170),), dims=("neuroid", "presentation", "time_bin")):
    """As an assembly is before it is written: levels of an index are variables of their own."""
    coords = {name: ("neuroid", column.to_numpy(object)) for name, column in NEUROIDS.items() if name != "x"}
    coords["x"] = ("neuroid", NEUROIDS["x"])
    coords[key] = ("presentation", np.array(SHOWN, object))
    coords["variation"] = ("presentation", np.array(VARIATION))
    if "time_bin" in dims:
        coords["time_bin_start"] = ("time_bin", np.array([start for start, _ in bins]))
        coords["time_bin_end"] = ("time_bin", np.array([end for _, end in bins]))
    else:
        values = values[..., 0]
    full = ("neuroid", "presentation", "time_bin")[: values.ndim]
    return xr.DataArray(values, dims=full, coords=coords).transpose(*dims)


@pytest.fixture
def truth():
    values = numpy_generator("hvm responses").normal(size=(4, len(SHOWN), 2))
    values[2, 3] = np.nan
    return values


@pytest.fixture
def stimuli(tmp_path):
    table = pd.DataFrame(
        {
            "image_id": [*FILE_OF],
            "object_name": ['"car, red"', "dog", "cat", "cat"],
            "image_file_name": [*FILE_OF.values()],
        }
    )
    table.to_csv(tmp_path / "image_dicarlo_hvm.csv", index=False)
    with zipfile.ZipFile(tmp_path / "image_dicarlo_hvm.zip", "w") as archive:
        for number, name in FILE_OF.items():
            Image.fromarray(picture(number)).save(tmp_path / name)
            archive.write(tmp_path / name, name)
            (tmp_path / name).unlink()
        archive.writestr("__MACOSX/._im_1.png", b"junk")
    return {"stimuli": tmp_path / "image_dicarlo_hvm.csv", "images": tmp_path / "image_dicarlo_hvm.zip"}


def refusal(path, **options):
    with pytest.raises(V4eggError) as caught:
        read_brainscore(path, "hvm", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("engine", "format"), [("h5netcdf", None), ("scipy", "NETCDF3_64BIT"), ("scipy", "NETCDF3_CLASSIC")]
)
@pytest.mark.parametrize("key", ["image_id", "stimulus_id"])
@pytest.mark.parametrize("dims", [("neuroid", "presentation", "time_bin"), ("presentation", "neuroid")])
def test_images_and_responses_of_v4(tmp_path, truth, stimuli, engine, format, key, dims):
    path = tmp_path / "assy_dicarlo_MajajHong2015_public.nc"
    assembly(truth[..., :1], key, dims=dims).to_netcdf(path, engine=engine, format=format)
    recording = read_brainscore(path, "hvm", **stimuli)
    assert recording.image_ids == ["a1", "b2", "c3", "d4"]
    np.testing.assert_array_equal(recording.images, [picture(number)[None] for number in recording.image_ids])
    assert list(recording.units.index) == ["hvm-u001", "hvm-u002", "hvm-u003"]
    assert recording.units["animal"].tolist() == ["Tito", "Chabo", "Tito"]
    assert recording.units["x"].tolist() == [0.4, 0.6, 0.8]
    responses = truth[1:, :, 0].T.astype("float32")  # (presentation, unit)
    expected = np.full((4, 3, 3), np.nan, "float32")
    expected[0, :2], expected[1], expected[2, 0], expected[3, 0] = (
        responses[[1, 4]],
        responses[[0, 2, 5]],
        responses[3],
        responses[6],
    )
    np.testing.assert_array_equal(recording.counts, expected)
    assert recording.response_unit == "normalized firing rate"
    assert recording.left_out == {}
    assert recording.warnings == [f"{path.name}: 1 of 3 units have no response to some of the 4 images"]


def test_filters_of_neuroids_and_presentations(tmp_path, truth, stimuli):
    assembly(truth[..., :1]).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    entry = {"format": "brainscore", "file": str(tmp_path / "a.nc"), **{k: str(v) for k, v in stimuli.items()}}
    entry |= {"unit_filter": {"region": ["V4", "IT"], "animal": "Chabo"}, "presentations_filter": {"variation": 3}}
    recording = read_recording("hvm", entry, entry["file"])
    assert list(recording.units.index) == ["hvm-u000", "hvm-u002"]
    assert recording.image_ids == ["a1", "b2", "c3"]
    assert recording.left_out == {"variation is 0": 1}
    np.testing.assert_array_equal(recording.counts[2, 0], [truth[0, 3, 0].astype("float32"), np.nan])
    assert len(read_brainscore(tmp_path / "a.nc", "hvm", **stimuli, unit_filter={}).units) == 4
    assert "unit_filter names area; variables are" in refusal(tmp_path / "a.nc", **stimuli, unit_filter={"area": "V4"})
    told = refusal(tmp_path / "a.nc", **stimuli, presentations_filter={"variation": 6})
    assert "presentations_filter keeps no row with variation = 6; present are 0, 3" in told


def test_one_of_several_time_bins(tmp_path, truth, stimuli):
    assembly(truth, bins=((70, 90), (90, 110))).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    recording = read_brainscore(tmp_path / "a.nc", "hvm", **stimuli, time_bin=(90, 110))
    assert recording.counts[2, 0, 0] == truth[1, 3, 1].astype("float32")
    assert "has several time bins; set time_bin to one of [70, 90], [90, 110] (ms)" in refusal(
        tmp_path / "a.nc", **stimuli
    )
    assert "has no time bin [70, 170]; set time_bin" in refusal(tmp_path / "a.nc", **stimuli, time_bin=(70, 170))
    assembly(truth[..., :1], dims=("presentation", "neuroid")).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    assert "no time bins; remove time_bin" in refusal(tmp_path / "b.nc", **stimuli, time_bin=(70, 170))


def test_images_of_a_folder_and_without_a_table(tmp_path, truth, stimuli):
    assembly(truth[..., :1]).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in FILE_OF:
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    recording = read_brainscore(tmp_path / "a.nc", "hvm", images=folder)
    np.testing.assert_array_equal(recording.images, [picture(number)[None] for number in recording.image_ids])
    told = refusal(tmp_path / "a.nc", images=stimuli["images"])
    assert "4 stimuli have no image among 4, such as a1, b2, c3" in told


def test_what_does_not_belong_together_is_refused(tmp_path, truth, stimuli):
    path = tmp_path / "a.nc"
    assembly(truth[..., :1]).to_netcdf(path, engine="h5netcdf")
    table = pd.read_csv(stimuli["stimuli"])
    table.iloc[:2].to_csv(tmp_path / "half.csv", index=False)
    half = {**stimuli, "stimuli": tmp_path / "half.csv"}
    assert "2 stimuli of the assembly are not among the 2 of column image_id, such as c3, d4" in refusal(path, **half)
    pd.concat([table, table.assign(image_file_name="x.png")]).to_csv(tmp_path / "double.csv", index=False)
    assert "image_id a1 is in several rows" in refusal(path, **{**stimuli, "stimuli": tmp_path / "double.csv"})
    xr.Dataset({"spikes": ("presentation", np.zeros(3))}).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    assert "expected one array over presentation, neuroid" in refusal(tmp_path / "b.nc", **stimuli)
    (tmp_path / "cut.nc").write_bytes(path.read_bytes()[:2000])
    assert "no readable netCDF file" in refusal(tmp_path / "cut.nc", **stimuli)
    (tmp_path / "cut.zip").write_bytes(stimuli["images"].read_bytes()[:200])
    assert "damaged zip file" in refusal(path, **{**stimuli, "images": tmp_path / "cut.zip"})


def test_files_are_inputs(tmp_path):
    options = {"file": "a.nc", "stimuli": "a.csv", "images": "a.zip"}
    assert BrainScoreFiles("hvm", options).files() == ["a.nc", "a.csv", "a.zip"]
    folder = BrainScoreFiles("hvm", {"file": "a.nc", "images": str(tmp_path), "response_unit": "spikes per window"})
    assert (folder.files(), folder.folders()) == (["a.nc"], [str(tmp_path)])
    assert folder.counts_spikes() and not BrainScoreFiles("hvm", options).counts_spikes()


def test_the_description_asks_what_the_file_does_not_tell(tmp_path, truth, stimuli):
    path = tmp_path / "a.nc"
    assembly(truth, bins=((70, 90), (90, 110))).to_netcdf(path, engine="h5netcdf")
    found = describe(path)
    assert [(table.name, table.rows) for table in found.tables] == [("neuroid", 4), ("presentation", 7)]
    assert found.units.groups["region"] == {"V4": 3, "IT": 1}
    assert {question.key: [answer.value for answer in question.answers] for question in found.questions} == {
        "images": [str(stimuli["images"])],
        "time_bin": [[70, 90], [90, 110]],
    }
    only = assembly(truth[..., :1])
    only["region"] = ("neuroid", np.array(["IT", "IT", "TEO", "IT"], object))
    only.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    answers = describe(tmp_path / "b.nc").questions[1].answers
    assert [answer.value for answer in answers] == [{"region": "IT"}, {"region": "TEO"}]
