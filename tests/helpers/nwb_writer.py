"""Writes NWB files in the layouts of ``nwb_layouts``, and beside each its truth and its configuration."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.misc import Units

import pynwb_parts as parts
from nwb_layouts import (
    BLANKS,
    FOLDERS,
    FRAMES,
    PICTURES,
    REPEATS,
    STEP,
    UNITS,
    Layout,
    Written,
    blank_id,
    entry_of,
    file_name,
    foreign_id,
    id_of,
    image_options,
    name_of,
    table_name,
)
from picture_values import GREY_ONE, encoded, noise, true_picture, write_file
from true_sessions import WINDOW, Presentation, TrueSession, scheduled

EXTRA = "zz_mask"  # a picture that is never shown, the last one in natural order


def write(layout: Layout, folder: Path) -> Written:
    """Write ``session.nwb`` and what lies beside it into a folder."""
    rng = np.random.default_rng(layout.seed)
    truth = _true_session(layout, rng)
    nwb = NWBFile("session with known truth", "session", datetime(2024, 5, 1, tzinfo=UTC))
    containers = _add_pictures(layout, nwb, folder, truth)
    _add_units(layout, nwb, truth, rng)
    _add_tables(layout, nwb, truth, containers)
    if layout.intervals == "invalid_times":
        for start, stop in _invalid(truth):
            nwb.add_invalid_time_interval(start_time=start, stop_time=stop)
    _keep_units(layout, truth)
    path = folder / "session.nwb"
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    if layout.ids == "bytes":
        parts.texts_as_bytes(path, layout.stimulus)
    return Written(entry_of(layout, path), image_options(layout), truth)


def _true_session(layout: Layout, rng: np.random.Generator) -> TrueSession:
    order: list[int | None] = [k for k in range(layout.first_shown, PICTURES) for _ in range(REPEATS)]
    if layout.blank != "none":
        order += [None] * BLANKS
    rng.shuffle(order)
    dropped = rng.random(len(order)) < (0.25 if layout.filter != "none" else 0)
    onsets = 1 + STEP * np.arange(len(order)) + rng.uniform(0, 0.02, len(order))
    truth = scheduled(order, list(onsets), layout.duration, UNITS, rng)
    for one, drop in zip(truth.presentations, dropped, strict=True):
        one.kept = not drop
    for row in _rows(layout, truth.presentations):
        for one in row:
            one.kept = row[0].kept
    if layout.spikes == "silent_unit":
        truth.spikes[1] = []
    rounded = layout.colour in ("la", "rgba") or (layout.shape != "square" and layout.aspect == "pad")
    truth.tolerance = int(rounded)
    return truth


def _add_pictures(layout: Layout, nwb: NWBFile, folder: Path, truth: TrueSession) -> dict[str, Any]:
    """Write the pictures, and into the truth what they are; returns the containers in the file by name."""
    raw = {k: noise(k, layout.values, layout.colour, layout.shape) for k in range(PICTURES)}
    if layout.container in FOLDERS:
        files = {k: folder / "stimuli" / file_name(layout, k) for k in raw}
        raw = {k: write_file(files[k], picture, layout.values, layout.colour) for k, picture in raw.items()}
        if layout.extra:
            write_file(folder / "stimuli" / f"{EXTRA}.png", np.full((10, 10, 3), 7, "uint8"), "uint8", "rgb")
    if layout.litter:
        _add_litter(folder / "stimuli")
    truth.pictures = {k: true_picture(picture, layout.colour, layout.aspect) for k, picture in raw.items()}
    containers = {}
    if layout.container not in ("folder", "nested_folder"):
        containers["pictures"] = _container(layout, raw, truth, "pictures")
    if layout.second_container:
        others = {k: picture[::-1] for k, picture in raw.items()}
        containers["masks"] = _container(layout, others, truth, "masks")
    add = {
        "template": nwb.add_stimulus_template,
        "stimulus": nwb.add_stimulus,
        "acquisition": nwb.add_acquisition,
    }[layout.place]
    for container in containers.values():
        add(container)
    return containers


def _add_litter(folder: Path) -> None:
    """Files that programs leave beside pictures, some with names of pictures."""
    for name in (".DS_Store", "Thumbs.db", "readme.txt", "._img_000.png", "__MACOSX/._img_001.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x00\x05\x16\x07 no picture")


def _container(layout: Layout, raw: dict[int, np.ndarray], truth: TrueSession, name: str) -> Any:
    if layout.container == "external":
        files = [f"stimuli/{file_name(layout, k)}" for k in raw]
        return parts.external_files(name, [*files, f"stimuli/{EXTRA}.png"] if layout.extra else files)
    arrays = {k: _array(layout, picture, k) for k, picture in raw.items()}
    extra = layout.extra and layout.container != "frame_per_presentation"
    if layout.container == "named_series":
        names = [name_of(layout, k) for k in arrays]
        stack = [*arrays.values(), *([arrays[0]] if extra else [])]
        return parts.named_frames(name, np.stack(stack), [*names, EXTRA] if extra else names)
    if layout.container not in FRAMES:
        named = {name_of(layout, k): array for k, array in arrays.items()}
        named |= {EXTRA: np.zeros((10, 10), "uint8")} if extra else {}
        return parts.picture_container(name, named, list(named) if layout.container == "ordered_images" else None)
    order = [*arrays, *([0] if extra else [])]
    onsets: list[float] = [float(k) for k in range(len(order))]
    if layout.container == "frame_per_presentation":
        onsets = [one.onset for one in truth.presentations]
        order = [one.picture for one in truth.presentations if one.picture is not None]
    return parts.frames(name, np.stack([arrays[k] for k in order]), onsets, layout.container == "optical_series")


def _array(layout: Layout, picture: np.ndarray, number: int) -> np.ndarray:
    """A picture as an array in the file, its axes as the layout says."""
    stored = encoded(picture, layout.values)
    grey = picture.shape[2] == 1 or (layout.colour == "mixed" and number == GREY_ONE)
    if layout.axes == "cyx":
        return stored.transpose(2, 0, 1)
    stored = stored[..., 0] if grey else stored
    return stored.swapaxes(0, 1) if layout.axes == "xy" else stored


def _add_tables(layout: Layout, nwb: NWBFile, truth: TrueSession, containers: dict[str, Any]) -> None:
    rows = _rows(layout, truth.presentations)
    if not layout.sorted_rows:
        np.random.default_rng(layout.seed + 1).shuffle(rows)
    made = _table(layout, table_name(layout), rows, nwb, containers)
    if layout.table == "in_stimulus":
        nwb.add_stimulus(made)
    elif layout.table == "in_processing":
        nwb.create_processing_module("stimuli", "what was shown").add(made)
    else:
        _add_intervals(nwb, made)
    decoy = {"beside_trials": "trials", "beside_presentations": "presentations"}.get(layout.table)
    if decoy:
        _add_intervals(nwb, _table(layout, decoy, _others(rows), nwb, containers))


def _rows(layout: Layout, presentations: list[Presentation]) -> list[list[Presentation]]:
    """The presentations of each row of the table, in time: one, or a ragged list."""
    sizes = [1] if layout.lists == "none" else [3, 1, 4]
    rows, rest = [], list(presentations)
    while rest:
        size = sizes[len(rows) % len(sizes)]
        rows.append(rest[:size])
        rest = rest[size:]
    return rows


def _others(rows: list[list[Presentation]]) -> list[list[Presentation]]:
    """Rows of another table: other times, and pictures in another order."""
    pictures = iter([one.picture for row in rows for one in row][::-1])
    return [
        [
            dataclasses.replace(one, onset=one.onset + 0.11, offset=one.offset + 0.11, picture=next(pictures))
            for one in row
        ]
        for row in rows
    ]


def _add_intervals(nwb: NWBFile, table: Any) -> None:
    if table.name == "trials":
        nwb.trials = table
    else:
        nwb.add_time_intervals(table)


def _table(layout: Layout, name: str, rows: list[list[Presentation]], nwb: NWBFile, containers: dict[str, Any]) -> Any:
    margin = 0.0 if layout.lists == "none" else 0.04
    columns: dict[str, Any] = {
        "start_time": [row[0].onset - margin for row in rows],
        "stop_time": [row[-1].offset + margin for row in rows],
    }
    if layout.missing_onsets:
        kept = [row[0].kept for row in rows]
        columns["start_time"] = [
            start if keep else np.nan for start, keep in zip(columns["start_time"], kept, strict=True)
        ]
    if not layout.last_stop:
        columns["stop_time"][int(np.nanargmax(columns["start_time"]))] = np.nan
    ends = None if layout.lists == "none" else np.cumsum([len(row) for row in rows])
    if ends is not None:
        zero = [row[0].onset - margin if layout.lists == "relative" else 0.0 for row in rows]
        onsets = [one.onset - start for row, start in zip(rows, zero, strict=True) for one in row]
        columns |= parts.lists(parts.column("onsets", onsets), ends)
    if layout.ids != "none":
        stimuli = _stimulus_column(layout, [one for row in rows for one in row], nwb, containers)
        columns |= {layout.stimulus: stimuli} if ends is None else parts.lists(stimuli, ends)
    return parts.table(name, columns | _filter_columns(layout, [row[0].kept for row in rows]))


def _filter_columns(layout: Layout, kept: list[bool]) -> dict[str, Any]:
    """Columns of which each tells which rows the filter keeps."""
    late = layout.filter == "several"
    return {
        "outcome": [
            "aborted" if not keep else "late" if late and i % 3 == 0 else "correct" for i, keep in enumerate(kept)
        ],
        "block": [2 if keep else i % 2 for i, keep in enumerate(kept)],
        "contrast": [1.0 if keep else 0.5 * (i % 2) for i, keep in enumerate(kept)],
        "rewarded": kept,
    }


def _stimulus_column(layout: Layout, shown: list[Presentation], nwb: NWBFile, containers: dict[str, Any]) -> Any:
    if layout.ids == "reference":
        pictures = containers["pictures"].images
        return parts.column(layout.stimulus, [pictures[name_of(layout, one.picture)] for one in shown])
    values = [foreign_id(layout) if layout.foreign and not one.kept else id_of(layout, one.picture) for one in shown]
    if layout.ids == "enum":
        return parts.coded_column(layout.stimulus, values)
    if layout.ids == "stimulus_table":
        return _reference_to_stimuli(layout, values, nwb)
    return parts.column(layout.stimulus, values)


def _reference_to_stimuli(layout: Layout, values: list[str], nwb: NWBFile) -> Any:
    """A column of rows of a table of stimuli, which is made at the first time."""
    blank = [blank_id(layout)] if layout.blank != "none" else []
    names = sorted({*(id_of(layout, k) for k in range(PICTURES)), foreign_id(layout), *blank}, reverse=True)
    if "stimuli" not in (nwb.scratch or {}):
        columns = {"image_name": names, "duration": [0.2] * len(names)}
        nwb.add_scratch(parts.table("stimuli", columns, parts.DynamicTable))
    return parts.rows_of(layout.stimulus, nwb.scratch["stimuli"], [names.index(value) for value in values])


def _add_units(layout: Layout, nwb: NWBFile, truth: TrueSession, rng: np.random.Generator) -> None:
    """The units, of which row 2 is noise in V1, and into the truth when each was recorded."""
    if layout.unit_filter == "electrode":
        parts.add_electrodes(nwb, ["V4", "V4", "V1", "V4"])
    intervals = _recorded(layout, truth)
    electrodes = nwb.electrodes if layout.unit_filter == "electrode" else None
    units = Units(name="units", description="sorted units", electrode_table=electrodes)
    for name in ("quality", "shank", "isolated"):
        units.add_column(name, name)
    for row, times in truth.spikes.items():
        obs = intervals.get(row)
        if obs is not None:
            times = truth.spikes[row] = [t for t in times if any(a <= t <= b for a, b in obs)]
        more = {"obs_intervals": obs} if obs is not None else {}
        more |= {"electrodes": [row]} if layout.unit_filter == "electrode" else {}
        good = row != 2
        stored = _stored_spikes(layout, times, truth, rng)
        units.add_unit(
            spike_times=stored, quality="good" if good else "noise", shank=1 + (not good), isolated=good, **more
        )
    if layout.units == "units":
        nwb.units = units
    else:
        nwb.create_processing_module("ecephys", "sorting").add(units)
    if layout.intervals in ("whole", "lost_unit", "pieces", "ends_early"):
        truth.recorded = {row: sorted(obs) for row, obs in intervals.items()}
    elif layout.intervals == "invalid_times":
        (a, b), (c, d) = _invalid(truth)
        truth.recorded = {row: [(-np.inf, a), (b, c), (d, np.inf)] for row in truth.spikes}


def _recorded(layout: Layout, truth: TrueSession) -> dict[int, list[tuple[float, float]]]:
    """What ``obs_intervals`` say, by row."""
    onsets = sorted(one.onset for one in truth.presentations)
    end, half, early = onsets[-1] + 1, onsets[len(onsets) // 2] - 0.05, onsets[-6] - 0.05
    if layout.intervals == "pieces":
        pieces = [(onsets[9] - 0.05, early), (0.0, onsets[3] + 0.1), (onsets[5] + 0.1, onsets[8] + 0.25)]
        return dict.fromkeys(range(UNITS), pieces)
    if layout.intervals == "touching_pieces":
        cut = onsets[7] + WINDOW[0] + 0.03
        return {row: [(0.0, cut), (cut, end)] for row in range(UNITS)}
    if layout.intervals == "per_trial":
        return {row: [(onset - 0.05, onset + 0.24) for onset in onsets] for row in range(UNITS)}
    stops = {"whole": [end] * UNITS, "lost_unit": [end, half, end, end], "ends_early": [early] * UNITS}
    return {row: [(0.0, stop)] for row, stop in enumerate(stops.get(layout.intervals, []))}


def _invalid(truth: TrueSession) -> list[tuple[float, float]]:
    onsets = sorted(one.onset for one in truth.presentations)
    return [(onsets[4] - 0.01, onsets[6] + 0.1), (onsets[12] + 0.09, onsets[12] + 0.1)]


def _stored_spikes(layout: Layout, times: list[float], truth: TrueSession, rng: np.random.Generator) -> np.ndarray:
    stored = np.array(times, float)
    if layout.spikes == "relative_to_trials":
        onsets = np.array(sorted(one.onset for one in truth.presentations))
        return stored - onsets[np.maximum(np.searchsorted(onsets, stored) - 1, 0)]
    if layout.spikes == "milliseconds":
        return stored * 1000
    if layout.spikes == "nan":
        return np.concatenate([stored, [np.nan]])
    if layout.spikes == "unsorted":
        rng.shuffle(stored)
    return stored


def _keep_units(layout: Layout, truth: TrueSession) -> None:
    if layout.unit_filter != "none":
        truth.spikes = {row: times for row, times in truth.spikes.items() if row != 2}
