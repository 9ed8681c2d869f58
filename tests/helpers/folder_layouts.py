"""Plain folders in the layouts that users write, each with its truth and its configuration."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nwb_layouts import NUMBER_IDS, NUMBERED, PICTURES, REPEATS, TEXT_BLANKS, WORDS, Written
from picture_values import FILE_TYPES, PIXEL_RANGES, VALUES, noise, true_picture, write_file
from true_sessions import TrueSession, scheduled

UNITS, BLANKS = 4, 4
SPIKES = ("table", "array_per_unit", "npz", "flat_arrays", "samples")
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class FolderLayout:
    """What a folder is like, in the words of ``nwb_layouts`` and of the tables above."""

    names: str = "padded"
    ids: str = "name"
    nested: bool = False
    values: str = "uint8"
    file_type: str = "png"
    blank: str = "none"
    filtered: bool = False
    units: bool = True
    unit_filter: bool = False
    lost_unit: bool = False
    sorted_rows: bool = True
    spikes: str = "table"
    separator: str = ","
    byte_order_mark: bool = False
    seed: int = 0


@st.composite
def folder_layouts(draw: st.DrawFn) -> FolderLayout:
    """A layout that can exist."""

    def one(*words: Any) -> Any:
        return draw(st.sampled_from(words))

    names = one("words", *NUMBERED)
    ids = one("name", "name_with_suffix", "path", *(NUMBER_IDS[:2] if names in NUMBERED else ()))
    values = one(*VALUES["file"])
    units = one(True, False)
    return FolderLayout(
        names=names,
        ids=ids,
        nested=one(True, False),
        values=values,
        file_type=one(*FILE_TYPES[values, "grey"]),
        blank=one("none", *(["negative"] if ids in NUMBER_IDS else ["empty", "blank", "omitted"])),
        filtered=one(True, False),
        units=units,
        unit_filter=units and one(True, False),
        lost_unit=one(True, False),
        sorted_rows=one(True, False),
        spikes=one(*SPIKES),
        separator=one(*SEPARATORS),
        byte_order_mark=one(True, False),
        seed=draw(st.integers(0, 99)),
    )


def write_folder(layout: FolderLayout, folder: Path) -> Written:
    """Write a folder."""
    rng = np.random.default_rng(layout.seed)
    blanks: list[int | None] = [None] * BLANKS if layout.blank != "none" else []
    order = [k for k in range(PICTURES) for _ in range(REPEATS)] + blanks
    rng.shuffle(order)
    truth = scheduled(order, list(1 + 0.3 * np.arange(len(order))), 0.2, UNITS, rng)
    for one in truth.presentations:
        one.kept = not layout.filtered or bool(rng.random() < 0.75)
    for k in range(PICTURES):
        picture = noise(k, layout.values, "grey", "square")
        written = write_file(folder / "images" / _file(layout, k), picture, layout.values, "grey")
        truth.pictures[k] = true_picture(written, "grey", None)
    _write_presentations(layout, folder, truth, rng)
    _write_recorded(layout, folder, truth)
    _write_spikes(layout, folder, truth, rng)
    if layout.units:
        rows = [[f"n{row}", "good" if row != 2 else "noise"] for row in range(UNITS)]
        _write_table(layout, folder / "units.csv", ["unit", "quality"], rows)
    if layout.unit_filter:
        del truth.spikes[2]
    return Written(_entry(layout, folder), {}, truth)


def _file(layout: FolderLayout, number: int) -> str:
    name = WORDS[number] if layout.names == "words" else NUMBERED[layout.names](number)
    return f"{'set/' if layout.nested else ''}{name}.{layout.file_type}"


def _id(layout: FolderLayout, number: int | None) -> str:
    if number is None:
        return "-1" if layout.blank == "negative" else TEXT_BLANKS[layout.blank]
    path = Path(_file(layout, number))
    if layout.ids in NUMBER_IDS:
        return str(int(path.stem.split("_")[-1]))
    return {"name": path.stem, "name_with_suffix": path.name, "path": f"images/{path}"}[layout.ids]


def _write_table(layout: FolderLayout, path: Path, head: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig" if layout.byte_order_mark else "utf-8") as file:
        csv.writer(file, delimiter=layout.separator).writerows([head, *rows])


def _write_presentations(layout: FolderLayout, folder: Path, truth: TrueSession, rng: np.random.Generator) -> None:
    rows = [
        [repr(one.onset), repr(one.offset), _id(layout, one.picture), "correct" if one.kept else "aborted"]
        for one in truth.presentations
    ]
    if not layout.sorted_rows:
        rng.shuffle(rows)
    _write_table(layout, folder / "presentations.csv", ["onset", "offset", "stimulus", "outcome"], rows)


def _write_recorded(layout: FolderLayout, folder: Path, truth: TrueSession) -> None:
    end, half = truth.presentations[-1].onset + 1, truth.presentations[len(truth.presentations) // 2].onset - 0.05
    if not layout.lost_unit:
        return
    truth.recorded = {row: [(0.0, half if row == 1 else end)] for row in range(UNITS)}
    truth.spikes[1] = [time for time in truth.spikes[1] if time < half]
    rows = [[f"n{row}", repr(float(a)), repr(float(b))] for row, ((a, b),) in truth.recorded.items()]
    _write_table(layout, folder / "recorded.csv", ["unit", "start", "stop"], rows)


def _write_spikes(layout: FolderLayout, folder: Path, truth: TrueSession, rng: np.random.Generator) -> None:
    arrays = {f"n{row}": np.array(times) for row, times in truth.spikes.items()}
    times, names = np.concatenate(list(arrays.values())), np.repeat(list(arrays), [len(a) for a in arrays.values()])
    if layout.spikes == "array_per_unit":
        (folder / "spikes").mkdir()
        for name, array in arrays.items():
            np.save(folder / "spikes" / f"{name}.npy", array)
    elif layout.spikes == "npz":
        np.savez(folder / "spikes.npz", **arrays)
    elif layout.spikes in ("flat_arrays", "samples"):
        stored = times if layout.spikes == "flat_arrays" else np.round(times * 30000).astype("int64")
        np.save(folder / "spike_times.npy", stored)
        np.save(folder / "spike_units.npy", names)
    else:
        rows = [[name, repr(float(time))] for name, time in zip(names, times, strict=True)]
        rng.shuffle(rows)
        _write_table(layout, folder / "spikes.csv", ["unit", "time"], rows)


def _entry(layout: FolderLayout, folder: Path) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if layout.values in PIXEL_RANGES:
        columns["pixel_range"] = PIXEL_RANGES[layout.values]
    if layout.filtered:
        columns["presentations_filter"] = {"outcome": "correct"}
    if layout.unit_filter:
        columns["unit_filter"] = {"quality": "good"}
    if layout.spikes == "samples":
        columns["sampling_rate"] = 30000.0
    if layout.ids in NUMBER_IDS:
        columns["number_from"] = "name"
    return {"format": "folder", "split": "halves", "folder": str(folder), "columns": columns}
