"""NWB files in the layouts that laboratories write, each with its truth and the configuration that belongs to it.

A :class:`Layout` says in words what a file is like; :func:`layouts` draws one that can exist, :func:`write` writes it.
The configuration holds what a careful user would set, less the keys that the layout leaves out.
"""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from pynwb import NWBHDF5IO, NWBFile

import pynwb_parts as parts
from picture_values import (
    COLOURS,
    FILE_TYPES,
    GREY_ONE,
    PIXEL_RANGES,
    VALUES,
    encoded,
    noise,
    true_picture,
    write_file,
)
from true_sessions import WINDOW, Presentation, TrueSession, scheduled

PICTURES, REPEATS, UNITS, BLANKS = 12, 3, 4, 4
STEP = 0.3  # s between onsets
FOLDERS = ("folder", "nested_folder", "external")
FRAMES = ("series", "optical_series", "frame_per_presentation")
CONTAINERS = ("images", "ordered_images", *FRAMES, *FOLDERS)
ORDERED = ("ordered_images", "external", *FRAMES)  # containers that state the order of their pictures
PLACES = ("template", "stimulus", "acquisition")

WORDS = ("zebra", "oak", "moon", "ink", "yarn", "apple", "cliff", "vase", "bell", "kite", "drum", "fern")
NUMBERED = {
    "padded": lambda k: f"img_{k:03d}",
    "unpadded": lambda k: f"img_{k}",
    "padded_from_1": lambda k: f"img_{k + 1:03d}",
    "unpadded_from_1": lambda k: f"img_{k + 1}",
    "gaps": lambda k: f"img_{3 * k + 5}",
    "other_numbers": lambda k: f"img_{(7 * k + 3) % PICTURES:03d}",
    "digits": lambda k: f"{k:04d}",
    "two_numbers": lambda k: f"set2_img_{k}",
}
NAMED = {
    "words": lambda k: WORDS[k],
    "two_suffixes": lambda k: f"scene_{k // 2}{'.tif' if k % 2 else '.png'}",
    "same_stems": lambda k: f"{'faces' if k < PICTURES // 2 else 'scenes'}/{k % (PICTURES // 2):03d}",
}
NAMES = (*NUMBERED, *NAMED)

TEXT_IDS = ("name", "name_with_suffix", "path", "windows_path", "bytes", "enum", "stimulus_table")
NUMBER_IDS = ("number", "number_as_text", "number_as_decimal_text", "number_as_float")
POSITION_IDS = ("position", "position_from_1", "position_as_text", "position_as_float")
IDS = (*TEXT_IDS, *NUMBER_IDS, *POSITION_IDS, "reference", "none")
TEXT_BLANKS = {"empty": "", "blank": "blank", "omitted": "omitted", "none_text": "None", "custom": "grey_screen"}
BLANK_KINDS = ("none", "negative", "nan", *TEXT_BLANKS)

TABLES = ("presentations", "trials", "own", "beside_trials", "beside_presentations", "in_stimulus", "in_processing")
FILTERS = {
    "text": {"outcome": "correct"},
    "several": {"outcome": ["correct", "late"]},
    "number": {"block": 2},
    "float": {"contrast": 1.0},
    "bool": {"rewarded": True},
}
UNIT_FILTERS = {
    "text": {"quality": "good"},
    "number": {"shank": 1},
    "bool": {"isolated": True},
    "electrode": {"location": "V4"},
}
INTERVALS = ("always", "whole", "lost_unit", "pieces", "touching_pieces", "per_trial", "ends_early", "invalid_times")
SPIKES = ("sorted", "unsorted", "nan", "silent_unit", "relative_to_trials", "milliseconds")
IMPOSSIBLE_SPIKES = ("relative_to_trials", "milliseconds")  # no key makes them right: to be refused
KEYS = ("images", "table", "stimulus", "stimulus_name", "pixel_range", "blank", "number_from", "aspect")


@dataclass(frozen=True)
class Layout:
    """What a file is like; each field is one of the words of the table of the same name above."""

    container: str = "images"
    place: str = "template"
    second_container: bool = False
    names: str = "padded"
    ids: str = "name"
    values: str = "uint8"
    colour: str = "grey"
    file_type: str = "png"
    axes: str = "yx"
    shape: str = "square"
    aspect: str | None = None
    table: str = "presentations"
    stimulus: str = "stimulus_id"
    blank: str = "none"
    filter: str = "none"
    foreign: bool = False
    unit_filter: str = "none"
    intervals: str = "always"
    duration: float = 0.2
    sorted_rows: bool = True
    last_stop: bool = True
    spikes: str = "sorted"
    without: str = ""
    first_shown: int = 0
    seed: int = 0

    @property
    def has_names(self) -> bool:
        """Whether the pictures have names."""
        return self.container not in FRAMES


@dataclass
class Written:
    """A file, what belongs to it in the configuration, and its truth."""

    entry: dict[str, Any]
    images: dict[str, Any]
    truth: TrueSession


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """A layout that can exist."""

    def one(*words: Any) -> Any:
        return draw(st.sampled_from(words))

    def seldom(usual: Any, *others: Any) -> Any:
        return one(usual, usual, *others)

    container = one(*CONTAINERS)
    in_folder, frames = container in FOLDERS, container in FRAMES
    names = one(*possible_names(container))
    ids = one(*possible_ids(container, names))
    table = seldom(*TABLES)
    left_out = [key for key in KEYS if may_be_left_out(key, container, names, ids, table)]
    kind = "file" if in_folder else "frames" if frames else "array"
    colour = one(*(colour for colour in COLOURS[kind] if container != "optical_series" or colour != "rgba"))
    numbers = [values for values in VALUES[kind] if names != "two_suffixes" or "float" not in values]
    values = one(*numbers) if colour == "grey" or (colour == "rgb" and not in_folder) else "uint8"
    axes = ["xy", "cyx"] if container in ("series", "frame_per_presentation") and colour != "rgba" else ["xy"]
    presentation_filter = seldom("none", *FILTERS)
    return Layout(
        container=container,
        place=seldom(*PLACES) if container != "folder" else "template",
        second_container=one(True, False) and container not in ("folder", "nested_folder"),
        names=names,
        ids=ids,
        values=values,
        colour=colour,
        file_type=one(*FILE_TYPES[values, colour]) if in_folder and names != "two_suffixes" else "png",
        axes="yx" if in_folder else seldom("yx", *axes),
        shape=seldom("square", "wide", "tall"),
        aspect=one("crop", "pad"),
        table=table,
        stimulus=seldom("stimulus_id", "picture"),
        blank=one(*possible_blanks(ids)),
        filter=presentation_filter,
        foreign=presentation_filter != "none" and ids not in ("reference", "none") and one(True, False),
        unit_filter=seldom("none", *UNIT_FILTERS),
        intervals=seldom(*INTERVALS),
        duration=seldom(0.2, 0.05),
        sorted_rows=one(True, False),
        last_stop=seldom(True, False),
        spikes=seldom(*SPIKES),
        without=one(*[""] * (2 * len(KEYS)), *left_out),
        first_shown=one(0, 0, 1),
        seed=draw(st.integers(0, 99)),
    )


def possible_names(container: str) -> tuple[str, ...]:
    """The kinds of names that pictures in a container can have."""
    if container in FRAMES:
        return ("none",)
    return tuple(name for name in NAMES if name != "same_stems" or container in ("nested_folder", "external"))


def possible_ids(container: str, names: str) -> tuple[str, ...]:
    """The kinds of ids that can tell the pictures of a container apart."""
    if container == "frame_per_presentation":
        return ("none",)
    if container in FRAMES:
        return POSITION_IDS
    found = [*TEXT_IDS, *(NUMBER_IDS if names in NUMBERED else [])]
    found += POSITION_IDS if container in ORDERED or names != "other_numbers" else []
    found += ["reference"] if container in ("images", "ordered_images") else []
    return tuple(found)


def may_be_left_out(key: str, container: str, names: str, ids: str, table: str) -> bool:
    """Whether the file alone says enough to be read right or refused without a key of the configuration.

    Without ``table`` the table of presentations is read. Without ``number_from`` a number in a name is what the number
    of a stimulus means, where the container states no order.
    """
    if key == "table":
        return table != "beside_presentations"
    if key != "number_from" or container in ORDERED or ids not in POSITION_IDS or names not in NUMBERED:
        return True
    return NUMBERED[names](3).endswith("4" if ids == "position_from_1" else "3")


def possible_blanks(ids: str) -> tuple[str, ...]:
    """The kinds of blanks that a column of ids can hold."""
    if ids in ("reference", "none"):
        return ("none",)
    if ids.endswith("float"):
        return ("none", "negative", "nan")
    if ids in ("number", "position", "position_from_1"):
        return ("none", "negative")
    return ("none", *TEXT_BLANKS)


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
    return Written(_entry(layout, path), _image_options(layout), truth)


def name_of(layout: Layout, number: int) -> str:
    """Name of a picture in its container, without its suffix."""
    return (NUMBERED | NAMED)[layout.names](number)


def file_name(layout: Layout, number: int) -> str:
    """Name of a picture's file below the folder."""
    name = name_of(layout, number)
    inner = "" if layout.container != "nested_folder" or layout.names == "same_stems" else "ab"[number % 12 > 5] + "/"
    return inner + (name if layout.names == "two_suffixes" else f"{name}.{layout.file_type}")


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
    if layout.spikes == "silent_unit":
        truth.spikes[1] = []
    rounded = layout.colour in ("la", "rgba") or (layout.shape != "square" and layout.aspect == "pad")
    truth.tolerance = int(rounded)
    return truth


# ------------------------------------------------------------------------------------------------------------ pictures


def _add_pictures(layout: Layout, nwb: NWBFile, folder: Path, truth: TrueSession) -> dict[str, Any]:
    """Write the pictures, and into the truth what they are; returns the containers in the file by name."""
    raw = {k: noise(k, layout.values, layout.colour, layout.shape) for k in range(PICTURES)}
    if layout.container in FOLDERS:
        files = {k: folder / "stimuli" / file_name(layout, k) for k in raw}
        raw = {k: write_file(files[k], picture, layout.values, layout.colour) for k, picture in raw.items()}
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


def _container(layout: Layout, raw: dict[int, np.ndarray], truth: TrueSession, name: str) -> Any:
    if layout.container == "external":
        return parts.external_files(name, [f"stimuli/{file_name(layout, k)}" for k in raw])
    arrays = {k: _array(layout, picture, k) for k, picture in raw.items()}
    if layout.container not in FRAMES:
        named = {name_of(layout, k): array for k, array in arrays.items()}
        return parts.picture_container(name, named, list(named) if layout.container == "ordered_images" else None)
    onsets: list[float] = [float(k) for k in arrays]
    order = list(arrays)
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


# -------------------------------------------------------------------------------------------------------------- tables


def _add_tables(layout: Layout, nwb: NWBFile, truth: TrueSession, containers: dict[str, Any]) -> None:
    name = _table_name(layout)
    rows = list(truth.presentations)
    if not layout.sorted_rows:
        np.random.default_rng(layout.seed + 1).shuffle(rows)
    truth.presentations = rows
    made = _table(layout, name, rows, nwb, containers)
    decoy = {"beside_trials": "trials", "beside_presentations": "presentations"}.get(layout.table)
    if layout.table == "in_stimulus":
        nwb.add_stimulus(made)
    elif layout.table == "in_processing":
        nwb.create_processing_module("stimuli", "what was shown").add(made)
    else:
        _add_intervals(nwb, made)
    if decoy:
        others = [dataclasses.replace(row, onset=row.onset + 0.11, offset=row.offset + 0.11) for row in rows[::-1]]
        shown = [row.picture for row in rows]
        others = [dataclasses.replace(row, picture=picture) for row, picture in zip(others, shown, strict=True)]
        _add_intervals(nwb, _table(layout, decoy, others, nwb, containers))


def _add_intervals(nwb: NWBFile, table: Any) -> None:
    if table.name == "trials":
        nwb.trials = table
    else:
        nwb.add_time_intervals(table)


def _table_name(layout: Layout) -> str:
    named = {"presentations": "presentations", "beside_trials": "presentations"}
    return named.get(layout.table, "trials" if layout.table in ("trials", "beside_presentations") else "flashes")


def _table(layout: Layout, name: str, rows: list[Presentation], nwb: NWBFile, containers: dict[str, Any]) -> Any:
    columns: dict[str, Any] = {"start_time": [row.onset for row in rows], "stop_time": [row.offset for row in rows]}
    if not layout.last_stop:
        columns["stop_time"][int(np.argmax(columns["start_time"]))] = np.nan
    if layout.ids != "none":
        columns[layout.stimulus] = _stimulus_column(layout, rows, nwb, containers)
    kept = [row.kept for row in rows]
    some = [i % 3 == 0 for i in range(len(rows))]
    columns |= {
        "outcome": _texts(kept, some, "correct", "late", "aborted")
        if layout.filter == "several"
        else ["correct" if keep else "aborted" for keep in kept],
        "block": [2 if keep else i % 2 for i, keep in enumerate(kept)],
        "contrast": [1.0 if keep else 0.5 * (i % 2) for i, keep in enumerate(kept)],
        "rewarded": kept,
    }
    return parts.table(name, columns)


def _texts(kept: list[bool], some: list[bool], usual: str, other: str, dropped: str) -> list[str]:
    return [(other if rare else usual) if keep else dropped for keep, rare in zip(kept, some, strict=True)]


def _stimulus_column(layout: Layout, rows: list[Presentation], nwb: NWBFile, containers: dict[str, Any]) -> Any:
    if layout.ids == "reference":
        pictures = containers["pictures"].images
        return [pictures[name_of(layout, row.picture)] for row in rows]
    values = [_foreign(layout) if layout.foreign and not row.kept else _id_of(layout, row.picture) for row in rows]
    if layout.ids == "enum":
        return parts.coded_column(layout.stimulus, values)
    if layout.ids == "stimulus_table":
        return _reference_to_stimuli(layout, values, nwb)
    return values


def _reference_to_stimuli(layout: Layout, values: list[str], nwb: NWBFile) -> Any:
    """A column of rows of a table of stimuli, which is made at the first time."""
    blank = [_blank(layout)] if layout.blank != "none" else []
    names = sorted({*(_id_of(layout, k) for k in range(PICTURES)), _foreign(layout), *blank}, reverse=True)
    if "stimuli" not in (nwb.scratch or {}):
        columns = {"image_name": names, "duration": [0.2] * len(names)}
        nwb.add_scratch(parts.table("stimuli", columns, parts.DynamicTable))
    return parts.rows_of(layout.stimulus, nwb.scratch["stimuli"], [names.index(value) for value in values])


def _id_of(layout: Layout, number: int | None) -> Any:
    """What stands in the stimulus column for a picture, or for a blank."""
    if number is None:
        return _blank(layout)
    if layout.ids in ("name", "bytes", "enum", "stimulus_table"):
        return name_of(layout, number)
    if layout.ids == "name_with_suffix":
        return file_name(layout, number)
    if layout.ids == "path":
        return f"/data/lab/stimuli/{file_name(layout, number)}"
    if layout.ids == "windows_path":
        return "D:\\lab\\stimuli\\" + file_name(layout, number).replace("/", "\\")
    value = number + (layout.ids == "position_from_1")
    if layout.ids in NUMBER_IDS:
        value = int(name_of(layout, number).split("_")[-1])
    if layout.ids.endswith("decimal_text"):
        return f"{value}.0"
    if layout.ids.endswith("text"):
        return str(value)
    return float(value) if _is_float(layout) else value


def _blank(layout: Layout) -> Any:
    if layout.blank in TEXT_BLANKS:
        return TEXT_BLANKS[layout.blank]
    value = np.nan if layout.blank == "nan" else -1
    return float(value) if _is_float(layout) else value


def _foreign(layout: Layout) -> Any:
    """The id of a stimulus that is no picture, in a presentation that the filter drops."""
    if layout.ids in TEXT_IDS:
        return "grating_45"
    if layout.ids.endswith("decimal_text"):
        return "900.0"
    if layout.ids.endswith("text"):
        return "900"
    return 900.0 if _is_float(layout) else 900


def _is_float(layout: Layout) -> bool:
    return layout.ids.endswith("float")


# --------------------------------------------------------------------------------------------------------------- units


def _add_units(layout: Layout, nwb: NWBFile, truth: TrueSession, rng: np.random.Generator) -> None:
    """The units, of which row 2 is noise in V1, and into the truth when each was recorded."""
    if layout.unit_filter == "electrode":
        parts.add_electrodes(nwb, ["V4", "V4", "V1", "V4"])
    intervals = _recorded(layout, truth)
    nwb.add_unit_column("quality", "sorting quality")
    nwb.add_unit_column("shank", "number of the shank")
    nwb.add_unit_column("isolated", "whether it is one neuron")
    for row, times in truth.spikes.items():
        obs = intervals.get(row)
        if obs is not None:
            times = truth.spikes[row] = [t for t in times if any(a <= t <= b for a, b in obs)]
        more = {"obs_intervals": obs} if obs is not None else {}
        more |= {"electrodes": [row]} if layout.unit_filter == "electrode" else {}
        good = row != 2
        stored = _stored_spikes(layout, times, truth, rng)
        nwb.add_unit(
            spike_times=stored, quality="good" if good else "noise", shank=1 + (not good), isolated=good, **more
        )
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


# ------------------------------------------------------------------------------------------------------- configuration


def _entry(layout: Layout, path: Path) -> dict[str, Any]:
    columns: dict[str, Any] = {"table": _table_name(layout)}
    if layout.stimulus != "stimulus_id" and layout.ids != "none":
        columns["stimulus"] = layout.stimulus
    if layout.container in ("folder", "nested_folder"):
        columns["images"] = "stimuli"
    elif layout.second_container or layout.place == "acquisition":
        columns["images"] = "pictures"
    if layout.values in PIXEL_RANGES:
        columns["pixel_range"] = PIXEL_RANGES[layout.values]
    if layout.axes == "xy":
        columns["axes"] = "xy"
    if layout.blank == "custom":
        columns["blank"] = [TEXT_BLANKS["custom"]]
    unordered = layout.container not in ORDERED and layout.names == "words"
    if layout.ids in (*NUMBER_IDS, *POSITION_IDS) and not unordered:
        columns["number_from"] = "name" if layout.ids in NUMBER_IDS else int(layout.ids == "position_from_1")
    if layout.ids == "stimulus_table":
        columns["stimulus_name"] = "image_name"
    if layout.filter != "none":
        columns["presentations_filter"] = FILTERS[layout.filter]
    if layout.unit_filter != "none":
        columns["unit_filter"] = UNIT_FILTERS[layout.unit_filter]
    columns.pop(layout.without, None)
    return {"format": "nwb", "split": "halves", "file": str(path), "columns": columns}


def _image_options(layout: Layout) -> dict[str, Any]:
    options = {"aspect": layout.aspect} if layout.shape != "square" else {}
    options.pop(layout.without, None)
    return options
