"""The layouts in which laboratories write NWB files: what is drawn, and the configuration that belongs to it.

A :class:`Layout` says in words what a file is like; :func:`layouts` draws one that can exist. The configuration holds
what a careful user would set, less the key that the layout leaves out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from picture_values import COLOURS, FILE_TYPES, PIXEL_RANGES, VALUES
from true_sessions import TrueSession

PICTURES, REPEATS, UNITS, BLANKS = 12, 3, 4, 4
STEP = 0.3  # s between onsets
FOLDERS = ("folder", "nested_folder", "external")
FRAMES = ("series", "optical_series", "frame_per_presentation")  # without names
CONTAINERS = ("images", "ordered_images", "named_series", *FRAMES, *FOLDERS)
ORDERED = ("ordered_images", "named_series", "external", *FRAMES)  # containers that state the order of their pictures
PLACES = ("template", "stimulus", "acquisition")

WORDS = ("zebra", "oak", "moon", "ink", "yarn", "apple", "cliff", "vase", "bell", "kite", "drum", "fern")
NUMBERED: dict[str, Callable[[int], str]] = {
    "padded": lambda k: f"img_{k:03d}",
    "unpadded": lambda k: f"img_{k}",
    "padded_from_1": lambda k: f"img_{k + 1:03d}",
    "unpadded_from_1": lambda k: f"img_{k + 1}",
    "gaps": lambda k: f"img_{3 * k + 5}",
    "other_numbers": lambda k: f"img_{(7 * k + 3) % PICTURES:03d}",
    "digits": lambda k: f"{k:04d}",
    "two_numbers": lambda k: f"set2_img_{k}",
}
NAMED: dict[str, Callable[[int], str]] = {
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
LISTS = ("none", "absolute", "relative")  # rows that hold several presentations, onsets counted from the row or not
INTERVALS = ("always", "whole", "lost_unit", "pieces", "touching_pieces", "per_trial", "ends_early", "invalid_times")
SPIKES = ("sorted", "unsorted", "nan", "silent_unit", "relative_to_trials", "milliseconds")
IMPOSSIBLE_SPIKES = ("relative_to_trials", "milliseconds")  # no key makes them right: to be refused
KEYS = ("images", "table", "stimulus", "stimulus_name", "pixel_range", "blank", "number_from", "aspect")


@dataclass(frozen=True)
class Layout:
    """What a file is like; most fields are one of the words of the table of the same name above.

    Attributes:
        second_container: whether there are pictures that were not shown, of the same names.
        stimulus: name of the stimulus column.
        foreign: whether presentations that the filter drops have ids of no picture.
        duration: of a presentation in s.
        last_stop: whether the last presentation has a stop time.
        without: the key that the configuration leaves out although it belongs to the file.
        first_shown: number of the first picture that is shown.
        extra: whether the container of pictures has one that is not shown, where it has names of another size.
        litter: whether other files lie in the folder of pictures.
        missing_onsets: whether presentations that the filter drops have no onset.
        seed: of what is drawn at random: the schedule, the spikes.
    """

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
    lists: str = "none"
    blank: str = "none"
    filter: str = "none"
    foreign: bool = False
    unit_filter: str = "none"
    units: str = "units"
    intervals: str = "always"
    duration: float = 0.2
    sorted_rows: bool = True
    last_stop: bool = True
    spikes: str = "sorted"
    without: str = ""
    first_shown: int = 0
    extra: bool = False
    litter: bool = False
    missing_onsets: bool = False
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
    in_folder = container in FOLDERS
    names = one(*possible_names(container))
    ids = one(*possible_ids(container, names))
    table = seldom(*TABLES)
    left_out = [key for key in KEYS if may_be_left_out(key, container, names, ids, table)]
    series, own_times = container in (*FRAMES, "named_series"), container == "frame_per_presentation"
    kind = "file" if in_folder else "frames" if series else "array"
    colour = one(*(colour for colour in COLOURS[kind] if container != "optical_series" or colour != "rgba"))
    numbers = [values for values in VALUES[kind] if names != "two_suffixes" or "float" not in values]
    values = one(*numbers) if colour == "grey" or (colour == "rgb" and not in_folder) else "uint8"
    axes = ["xy", "cyx"] if series and container != "optical_series" and colour != "rgba" else ["xy"]
    presentation_filter = seldom("none", *FILTERS) if not own_times else "none"
    lists = seldom(*LISTS) if ids not in ("none", "bytes", "enum") else "none"  # pynwb reads no lists of codes
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
        lists=lists,
        blank=one(*possible_blanks(ids)),
        filter=presentation_filter,
        foreign=presentation_filter != "none" and ids not in ("reference", "none") and one(True, False),
        unit_filter=seldom("none", *UNIT_FILTERS),
        units=seldom("units", "in_processing"),
        intervals=seldom(*INTERVALS),
        duration=seldom(0.2, 0.05),
        sorted_rows=one(True, False),
        last_stop=seldom(True, False),
        spikes=one(*[kind for kind in SPIKES if kind not in IMPOSSIBLE_SPIKES] * 4, *IMPOSSIBLE_SPIKES),
        without=one(*[""] * (2 * len(KEYS)), *left_out),
        first_shown=one(0, 0, 1),
        extra=one(True, False),
        litter=one(True, False) and container in ("folder", "nested_folder"),
        missing_onsets=seldom(False, True) and presentation_filter != "none" and lists == "none",
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


def may_be_refused(layout: Layout) -> bool:
    """Whether a refusal is right: a key is left out, no key helps, or the file does not say what the user means."""
    unstated = layout.names == "words" and layout.ids in POSITION_IDS and layout.container not in ORDERED
    return bool(layout.without) or layout.spikes in IMPOSSIBLE_SPIKES or unstated


def possible_blanks(ids: str) -> tuple[str, ...]:
    """The kinds of blanks that a column of ids can hold."""
    if ids in ("reference", "none"):
        return ("none",)
    if ids.endswith("float"):
        return ("none", "negative", "nan")
    if ids in ("number", "position", "position_from_1"):
        return ("none", "negative")
    return ("none", *TEXT_BLANKS)


def name_of(layout: Layout, number: int) -> str:
    """Name of a picture in its container, without its suffix."""
    return (NUMBERED | NAMED)[layout.names](number)


def file_name(layout: Layout, number: int) -> str:
    """Name of a picture's file below the folder."""
    name = name_of(layout, number)
    inner = "" if layout.container != "nested_folder" or layout.names == "same_stems" else "ab"[number % 12 > 5] + "/"
    return inner + (name if layout.names == "two_suffixes" else f"{name}.{layout.file_type}")


def id_of(layout: Layout, number: int | None) -> Any:
    """What stands in the stimulus column for a picture, or for a blank."""
    if number is None:
        return blank_id(layout)
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


def blank_id(layout: Layout) -> Any:
    if layout.blank in TEXT_BLANKS:
        return TEXT_BLANKS[layout.blank]
    value = np.nan if layout.blank == "nan" else -1
    return float(value) if _is_float(layout) else value


def foreign_id(layout: Layout) -> Any:
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


def table_name(layout: Layout) -> str:
    named = {"presentations": "presentations", "beside_trials": "presentations"}
    return named.get(layout.table, "trials" if layout.table in ("trials", "beside_presentations") else "flashes")


def entry_of(layout: Layout, path: Path) -> dict[str, Any]:
    if layout.container == "frame_per_presentation":
        columns: dict[str, Any] = {"table": "pictures"}
    else:
        columns = {"table": table_name(layout)}
    if layout.lists != "none":
        columns["start"] = "onsets"
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


def image_options(layout: Layout) -> dict[str, Any]:
    options = {"aspect": layout.aspect} if layout.shape != "square" else {}
    options.pop(layout.without, None)
    return options
