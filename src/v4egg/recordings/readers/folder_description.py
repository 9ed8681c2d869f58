"""The description of a plain folder: its tables, images and units, what is taken as what, and what it has to ask."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from v4egg.images.files import read_image_file
from v4egg.io.tables import SUFFIXES, read_table
from v4egg.recordings.readers.column_facts import EXAMPLES, column_facts, few_values
from v4egg.recordings.readers.description import Description, ImageSet, Span, Table, Taken, UnitFacts
from v4egg.recordings.readers.folder import FolderColumns, outline_folder
from v4egg.recordings.readers.folder_layout import PRESENTATIONS, RESPONSES, Layout, layout_of
from v4egg.recordings.readers.folder_session import FolderSession, understand
from v4egg.recordings.readers.image_files import ImageFiles, opened_images
from v4egg.recordings.readers.notes import Notes, refusals_described

_SAMPLE = 20  # images that are looked at
_ROWS = 200_000  # of a table, beyond which it is not described


def describe_folder(path: Path) -> Description | None:
    """What a plain folder holds; None where no file has the usual name of presentations, spikes or counts."""
    if not path.is_dir() or not any((path / name).exists() for name in [*PRESENTATIONS, *RESPONSES]):
        return None
    result = Description("folder", "a plain folder", options={"folder": str(path)})
    columns = FolderColumns().model_dump()
    with refusals_described(result, path):
        layout = layout_of(path, columns)
        result.tables = [table for file in layout.tables for table in _tables(file)]
        result.taken = list(_taken(path, layout))
        notes = Notes()
        with opened_images(layout.images) as files:
            result.image_sets = [_image_set(files)]
            found = understand(layout, "s", columns, files, notes)
        _add_facts(result, layout, found)
        result.outline = outline_folder(path, "s", columns)
        result.warnings = notes.warnings
    return result


def _tables(path: Path) -> Iterator[Table]:
    if path.suffix.lower() in SUFFIXES and path.stat().st_size < 50 * _ROWS:
        table = read_table(path)
        yield Table(path.name, len(table), [column_facts(str(name), table[name]) for name in table])


def _image_set(files: ImageFiles) -> ImageSet:
    names = files.names[:: max(1, len(files.names) // _SAMPLE)]
    frames = [read_image_file(files.file(name)) for name in names]
    shapes, dtypes = {frame.shape for frame in frames}, {str(frame.dtype) for frame in frames}
    return ImageSet(
        files.place.name,
        "folder" if files.place.is_dir() else "zip file",
        len(files.names),
        shapes.pop() if len(shapes) == 1 else None,
        " and ".join(sorted(dtypes)),
        float(min(frame.min() for frame in frames)),
        float(max(frame.max() for frame in frames)),
        len(frames),
        files.names[:EXAMPLES],
    )


def _taken(path: Path, layout: Layout) -> Iterator[Taken]:
    keys = {
        "table": layout.presentations,
        "images": layout.images,
        "spikes": layout.spikes,
        "spike_units": layout.spike_units,
        "counts": layout.counts,
        "image_order": layout.image_order,
        "units": layout.units,
        "recorded": layout.recorded,
    }
    for key, file in keys.items():
        if file is not None:
            yield Taken(f"columns.{key}", file.relative_to(path).as_posix(), "by its name")


def _add_facts(result: Description, layout: Layout, found: FolderSession) -> None:
    """Units, times and what may be chosen."""
    groups = few_values(found.units.drop(columns="unit_name"))
    result.units = UnitFacts(len(found.units), groups, _rates(found))
    if found.spikes is not None and found.trials is not None:
        ends = np.concatenate([times[[0, -1]] for times in found.spikes.values() if len(times)])
        onset = found.trials["onset"]
        result.spans = [
            Span("spikes", float(ends.min()), float(ends.max())),
            Span("presentations", float(onset.min()), float(onset.max()), f"onsets of {len(onset)} that show an image"),
        ]
    for name, values in groups.items():
        why = f"keep only units with this {name}, of {', '.join(values)}"
        result.suggested.append(Taken("columns.unit_filter", {name: next(iter(values))}, why))
        break


def _rates(found: FolderSession) -> tuple[float, float, float] | None:
    """Lowest, median and highest rate of the units, spikes/s."""
    if found.spikes is None:
        return None
    times: list[Any] = [found.spikes[unit] for unit in found.units.index]
    ends = np.concatenate([own[[0, -1]] for own in times if len(own)])
    rates = np.array([len(own) for own in times]) / max(float(np.ptp(ends)), 1e-9)
    return float(rates.min()), float(np.median(rates)), float(rates.max())
