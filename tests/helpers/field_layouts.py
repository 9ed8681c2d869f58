"""Small files in the layouts of public data sets and of the programs that laboratories write NWB with, and their truth.

Each function writes ``session.nwb`` into a folder. What stands where follows the code or the listings of the programs:
AllenSDK's writers of stimulus tables and templates, OpenScope's files of illusions, the tutorials of MatNWB, and the
tables of neuroconv.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.common import DynamicTable
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.image import ImageSeries, IndexSeries

import pynwb_parts as parts
from nwb_layouts import Written
from picture_values import noise, true_picture, write_file
from true_sessions import TrueSession, scheduled

UNITS, REPEATS, STEP = 3, 3, 0.75  # s from onset to onset; images are on for 0.25 s


def allen_visual_behavior(folder: Path) -> Written:
    """Names in ``image_name``, ``omitted`` among them; frames named by ``control_description``; an index beside."""
    names = ["im063_r", "im012_r", "im104_r", "im031_r", "im005_r", "im078_r"]
    truth, nwb = _session(len(names), blanks=5, shape="wide", aspect="crop")
    template = ImageSeries(
        name="Natural_Images_Lum_Matched_set_ophys_G_2019",
        data=np.stack([_grey(k, "wide") for k in range(len(names))]),
        control=np.arange(len(names), dtype="uint8"),
        control_description=names,
        timestamps=np.full(len(names), np.nan),
        format="raw",
        unit="NA",
    )
    nwb.add_stimulus_template(template)
    shown = [row for row in truth.presentations if row.picture is not None]
    index = np.array([row.picture for row in shown], "uint32")
    onsets = [row.onset for row in shown]
    nwb.add_stimulus(TimeSeries(name=template.name, data=index, timestamps=onsets, unit="N/A"))
    rows = truth.presentations
    columns = {
        "stimulus_name": ["Natural_Images_Lum_Matched_set_ophys_G_2019"] * len(rows),
        "stimulus_block": [0] * len(rows),
        "image_index": [len(names) if row.picture is None else row.picture for row in rows],
        "image_name": ["omitted" if row.picture is None else names[row.picture] for row in rows],
        "omitted": [row.picture is None for row in rows],
        "is_change": [False] * len(rows),
        "active": [True] * len(rows),
    }
    table = f"{template.name}_presentations"
    nwb.add_time_intervals(_tagged_table(nwb, table, truth, columns))
    _add_neuropixels_units(nwb, truth)
    written = _written(folder, nwb, truth, {"table": table, "stimulus": "image_name"}, aspect="crop")
    with h5py.File(folder / "session.nwb", "r+") as file:  # an index into a series is old: pynwb reads it only
        series = file[f"stimulus/presentation/{template.name}"]
        series.attrs["neurodata_type"] = "IndexSeries"
        series["indexed_timeseries"] = h5py.SoftLink(f"/stimulus/templates/{template.name}")
    return written


def allen_visual_behavior_by_index(folder: Path) -> Written:
    """The same file read by ``image_index``, whose number of an omitted image is one past the last."""
    written = allen_visual_behavior(folder)
    columns = {
        **written.entry["columns"],
        "stimulus": "image_index",
        "number_from": 0,
        "presentations_filter": {"omitted": False},
    }
    return Written({**written.entry, "columns": columns}, written.images, written.truth)


def allen_images_of_templates(folder: Path) -> Written:
    """The later form of these files: warped and unwarped pictures as two containers of images."""
    names = ["im063_r", "im012_r", "im104_r", "im031_r", "im005_r", "im078_r"]
    truth, nwb = _session(len(names), blanks=5, shape="wide", aspect="crop")
    warped = {name: _grey(k, "wide") for k, name in enumerate(names)}
    unwarped = {name: _grey(k + 50, "wide") for k, name in enumerate(names)}
    nwb.add_stimulus_template(parts.picture_container("warped_images", warped, names))
    nwb.add_stimulus_template(parts.picture_container("unwarped_images", unwarped, names))
    rows = truth.presentations
    columns = {"image_name": ["omitted" if row.picture is None else names[row.picture] for row in rows]}
    nwb.add_time_intervals(_tagged_table(nwb, "Natural_Images_presentations", truth, columns))
    _add_neuropixels_units(nwb, truth)
    entry = {"table": "Natural_Images_presentations", "stimulus": "image_name", "images": "warped_images"}
    return _written(folder, nwb, truth, entry, aspect="crop")


def openscope_illusions(folder: Path) -> Written:
    """A block a table, a container of unpadded names without an order for each, and frames as floats."""
    truth, nwb = _session(12, blanks=0, shape="wide", aspect="pad")
    truth.tolerance = 1
    for block, first in (("ICkcfg0", 0), ("ICwcfg1", 70)):
        name = f"{block}_presentations"
        pictures = {f"{name}{k}": _grey(first + k, "wide") for k in range(12)}
        nwb.add_stimulus_template(parts.picture_container(name, pictures, None))
        shift = 0.0 if block == "ICkcfg0" else 100.0
        columns = {
            "stimulus_name": [block] * len(truth.presentations),
            "stimulus_block": [2.0] * len(truth.presentations),
            "frame": [float(row.picture) for row in truth.presentations],
        }
        nwb.add_time_intervals(_tagged_table(nwb, name, truth, columns, shift))
    start, stop = truth.presentations[7].onset, truth.presentations[8].onset + 0.1
    nwb.add_invalid_time_interval(start_time=start, stop_time=stop, tags=["EcephysProbe", "123", "probeA"])
    truth.recorded = {row: [(-np.inf, start), (stop, np.inf)] for row in truth.spikes}
    _add_neuropixels_units(nwb, truth)
    table = "ICkcfg0_presentations"
    return _written(folder, nwb, truth, {"table": table, "stimulus": "frame", "images": table}, aspect="pad")


def matnwb_grey(folder: Path) -> Written:
    """Trials with ids from 1, texts of fixed width, and pictures (x, y), as MATLAB matrices arrive in HDF5."""
    truth, nwb = _session(11, blanks=3, shape="wide", aspect="crop")
    names = [f"stim{k + 1}" for k in range(11)]
    pictures = {name: _grey(k, "wide").T for k, name in enumerate(names)}
    nwb.add_stimulus_template(parts.picture_container("stimuli", pictures, None))
    rows = truth.presentations
    columns = _times(truth) | {"image": ["" if row.picture is None else names[row.picture] for row in rows]}
    nwb.trials = parts.table("trials", columns, first_id=1)
    _add_simple_units(nwb, truth)
    written = _written(folder, nwb, truth, {"table": "trials", "stimulus": "image", "axes": "xy"}, aspect="crop")
    parts.texts_as_bytes(folder / "session.nwb", "image")
    return written


def matnwb_references(folder: Path) -> Written:
    """Trials whose column holds references to the pictures, which are (x, y, colour)."""
    truth, nwb = _session(6, blanks=0, colour="rgb", shape="tall", aspect="crop")
    names = ["rgb_face", "rgb_house", "rgb_car", "rgb_tree", "rgb_body", "rgb_word"]
    pictures = {name: noise(k, "uint8", "rgb", "tall").swapaxes(0, 1) for k, name in enumerate(names)}
    container = parts.picture_container("image_collection", pictures, names[::-1])
    nwb.add_acquisition(container)
    columns = _times(truth) | {"shown": [container.images[names[row.picture]] for row in truth.presentations]}
    nwb.trials = parts.table("trials", columns, first_id=0)
    _add_simple_units(nwb, truth)
    entry = {"table": "trials", "stimulus": "shown", "images": "image_collection", "axes": "xy"}
    return _written(folder, nwb, truth, entry, aspect="crop")


def matnwb_colours_first(folder: Path) -> Written:
    """Pictures that ``imread`` gave, stored as they were: (colour, x, y) in the file, against the schema."""
    written = matnwb_references(folder)
    with h5py.File(folder / "session.nwb", "r+") as file:
        group = file["acquisition/image_collection"]
        for name in [name for name in group if name.startswith("rgb_")]:
            _replace(file, group[name], group[name][()].transpose(2, 0, 1))
    return written


def matnwb_series(folder: Path) -> Written:
    """An OpticalSeries (time, x, y, colour) and trials with whole numbers that count from 1."""
    truth, nwb = _session(7, blanks=0, colour="rgb", shape="wide", aspect="crop")
    frames = np.stack([noise(k, "uint8", "rgb", "wide").swapaxes(0, 1) for k in range(7)])
    nwb.add_stimulus(parts.frames("StimulusPresentation", frames, [float(k) for k in range(7)], optical=True))
    columns = _times(truth) | {"stimulus_id": [float(row.picture + 1) for row in truth.presentations]}
    nwb.trials = parts.table("trials", columns, first_id=0)
    _add_simple_units(nwb, truth)
    return _written(folder, nwb, truth, {"table": "trials", "axes": "xy", "number_from": 1}, aspect="crop")


def neuroconv_session(folder: Path) -> Written:
    """Mixed trials from a spreadsheet, named units with intervals and waveforms, electrodes with places; a folder."""
    truth, nwb = _session(10, blanks=0)
    names = [f"{'object' if k % 2 else 'scene'}_{k:02d}.jpg" for k in range(10)]
    for k, name in enumerate(names):
        picture = write_file(folder / "stimuli" / name, noise(k, "uint8", "rgb", "square"), "uint8", "rgb")
        truth.pictures[k] = true_picture(picture, "rgb", None)
    rng = np.random.default_rng(3)
    rows = truth.presentations
    for row in rows:
        row.kept = bool(rng.random() < 0.8)
    columns = _times(truth) | {
        "trial_type": ["image" if row.kept else "fixation_break" for row in rows],
        "image_file": [f"stimuli/{names[row.picture]}" for row in rows],
        "reaction_time": [0.3 if row.kept else np.nan for row in rows],
        "n_saccades": [int(not row.kept) for row in rows],
        "correct": [row.kept for row in rows],
        "comment": ["" for _ in rows],
    }
    nwb.trials = parts.table("trials", columns)
    end = rows[-1].onset + 1
    half = rows[len(rows) // 2].onset - 0.05
    parts.add_electrodes(nwb, ["V4", "V1", "V4", "unknown"])
    nwb.add_unit_column("unit_name", "name")
    nwb.add_unit_column("KSLabel", "quality by Kilosort")
    for row, times in truth.spikes.items():
        stop = half if row == 2 else end
        truth.spikes[row] = kept = [time for time in times if time < stop]
        truth.recorded[row] = [(0.0, stop)]
        nwb.add_unit(
            spike_times=kept,
            obs_intervals=[[0.0, stop]],
            electrodes=[row],
            unit_name=str(row),
            KSLabel="good",
            waveform_mean=np.zeros((10, 2)),
        )
    del truth.spikes[1]
    entry = {
        "table": "trials",
        "stimulus": "image_file",
        "images": "stimuli",
        "unit_filter": {"location": "V4", "KSLabel": "good"},
        "presentations_filter": {"trial_type": "image"},
    }
    return _written(folder, nwb, truth, entry)


def shapes_and_textures(folder: Path) -> Written:
    """Whole-number ids from 1, their table of stimuli in processing, and files that have the numbers in their names."""
    return _shapes_and_textures(folder, [f"{'shape' if k < 6 else 'texture'}_{k + 1}.png" for k in range(12)])


def shapes_and_textures_of_other_names(folder: Path) -> Written:
    """The same, with files whose names only the table of stimuli connects with the ids."""
    names = [f"{'shape' if k < 6 else 'texture'}_{'zyxwvu'[k % 6]}.png" for k in range(12)]
    return _shapes_and_textures(folder, names, to_be_known={"stimulus_table": "stimuli", "stimulus_name": "filename"})


def index_series_alone(folder: Path) -> Written:
    """No table: an IndexSeries says when which image of a container was shown, as the NWB tutorials do it."""
    truth, nwb = _session(6, blanks=0)
    names = [f"picture_{'fbdace'[k]}" for k in range(6)]
    container = parts.picture_container("images", {name: _grey(k) for k, name in enumerate(names)}, names)
    nwb.add_stimulus_template(container)
    index = IndexSeries(
        name="stimulus",
        data=np.array([row.picture for row in truth.presentations], "uint32"),
        indexed_images=container,
        timestamps=[row.onset for row in truth.presentations],
        unit="N/A",
    )
    nwb.add_stimulus(index)
    _add_simple_units(nwb, truth)
    return _written(folder, nwb, truth, {"table": "stimulus"})


LAYOUTS: Sequence[Callable[[Path], Written]] = (
    allen_visual_behavior,
    allen_visual_behavior_by_index,
    allen_images_of_templates,
    openscope_illusions,
    matnwb_grey,
    matnwb_references,
    matnwb_colours_first,
    matnwb_series,
    neuroconv_session,
    shapes_and_textures,
    shapes_and_textures_of_other_names,
    index_series_alone,
)


def _session(
    pictures: int, blanks: int, colour: str = "grey", shape: str = "square", aspect: str | None = None
) -> tuple[TrueSession, NWBFile]:
    rng = np.random.default_rng(pictures)
    order: list[int | None] = [*list(range(pictures)) * REPEATS, *[None] * blanks]
    rng.shuffle(order)
    truth = scheduled(order, [2 + STEP * i for i in range(len(order))], 0.25, UNITS, rng)
    truth.pictures = {k: true_picture(noise(k, "uint8", colour, shape), colour, aspect) for k in range(pictures)}
    return truth, NWBFile("a session", "session", datetime(2022, 6, 16, tzinfo=UTC))


def _grey(number: int, shape: str = "square") -> np.ndarray:
    return noise(number, "uint8", "grey", shape)[..., 0]


def _written(
    folder: Path, nwb: NWBFile, truth: TrueSession, columns: Mapping[str, Any], aspect: str | None = None
) -> Written:
    path = folder / "session.nwb"
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    entry = {"format": "nwb", "split": "halves", "file": str(path), "columns": dict(columns)}
    return Written(entry, {"aspect": aspect} if aspect else {}, truth)


def _times(truth: TrueSession, shift: float = 0.0) -> dict[str, Any]:
    return {
        "start_time": [row.onset + shift for row in truth.presentations],
        "stop_time": [row.offset + shift for row in truth.presentations],
    }


def _tagged_table(
    nwb: NWBFile, name: str, truth: TrueSession, columns: Mapping[str, Any], shift: float = 0.0
) -> DynamicTable:
    """A table with tags and references into a time series, both lists a row, as AllenSDK writes each."""
    if "stimulus" not in nwb.processing:
        module = nwb.create_processing_module("stimulus", "Stimulus Times processing")
        times = [row.onset for row in truth.presentations]
        module.add(TimeSeries(name="timestamps", data=np.array(times), timestamps=np.array(times), unit="s"))
    table = TimeIntervals(name=name, description=f"Presentation times and stimuli details for {name}")
    for key in columns:
        table.add_column(key, "No description")
    for i, row in enumerate(truth.presentations):
        table.add_interval(
            start_time=row.onset + shift,
            stop_time=row.offset + shift,
            tags="stimulus_time_interval",
            timeseries=nwb.processing["stimulus"]["timestamps"],
            **{key: values[i] for key, values in columns.items()},
        )
    return table


def _add_neuropixels_units(nwb: NWBFile, truth: TrueSession) -> None:
    """Units with measures of quality, some of them NaN, and lists of spike amplitudes."""
    for name in ("quality", "snr", "peak_channel_id", "isi_violations"):
        nwb.add_unit_column(name, name)
    nwb.add_unit_column("spike_amplitudes", "amplitudes", index=True)
    for row, times in truth.spikes.items():
        nwb.add_unit(
            id=951_000_000 + row,
            spike_times=times,
            spike_amplitudes=np.ones(len(times)),
            quality="good",
            snr=np.nan if row == 1 else 2.5,
            peak_channel_id=850_000 + row,
            isi_violations=0.01,
        )


def _add_simple_units(nwb: NWBFile, truth: TrueSession) -> None:
    for row, times in truth.spikes.items():
        nwb.add_unit(id=row + 1, spike_times=times)


def _replace(file: h5py.File, dataset: h5py.Dataset, data: np.ndarray) -> None:
    """Other data under a name; references to the old dataset are made anew."""
    name, attributes = dataset.name, dict(dataset.attrs)
    old = dataset.ref
    holders = [item for item in _datasets(file) if h5py.check_ref_dtype(item.dtype)]
    rows = [(holder, [i for i, one in enumerate(holder) if file[one] == dataset]) for holder in holders]
    del file[name]
    new = file.create_dataset(name, data=data)
    new.attrs.update(attributes)
    assert old
    for holder, positions in rows:
        for position in positions:
            holder[position] = new.ref


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found


def _shapes_and_textures(folder: Path, names: Sequence[str], to_be_known: Mapping[str, Any] | None = None) -> Written:
    truth, nwb = _session(12, blanks=4)
    for k, name in enumerate(names):
        write_file(folder / "stimuli" / name.split("_")[0] / name, noise(k, "uint8", "grey", "square"), "uint8", "grey")
    stimuli = {
        "stimulus_id": list(range(1, 13)),
        "filename": list(names),
        "category": ["shape" if k < 6 else "texture" for k in range(12)],
    }
    module = nwb.create_processing_module("stimuli", "the stimuli")
    module.add(parts.table("stimuli", stimuli, DynamicTable))
    ids = [-1 if row.picture is None else row.picture + 1 for row in truth.presentations]
    nwb.trials = parts.table("trials", _times(truth) | {"stimulus_id": ids})
    parts.add_electrodes(nwb, ["V4"] * UNITS)
    for row, times in truth.spikes.items():
        nwb.add_unit(spike_times=times, electrodes=[row])
    return _written(folder, nwb, truth, {"table": "trials", "images": "stimuli", **(to_be_known or {})})
