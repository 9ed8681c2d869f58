"""Reader of a plain folder: a table of presentations, image files, and spikes or counts.

::

    presentations.csv    onset, offset (s), stimulus: one row per presentation
    images/              image files, in subfolders as well
    spikes.csv           unit, time (s): one row per spike
    units.csv            unit, and anything that is known of it; may be absent
    recorded.csv         unit, start, stop (s): when units were recorded; may be absent

Tables are CSV or Parquet (:mod:`v4egg.io.tables`). Spikes may be arrays as well
(:mod:`v4egg.recordings.readers.folder_spikes`), and counts may take their place
(:mod:`v4egg.recordings.readers.folder_counts`). Names of files and columns are keys of the configuration.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.images.names import match_names
from v4egg.io.tables import column_of, numbers, read_table, texts, typed
from v4egg.recordings import intervals
from v4egg.recordings.clock import activity_of, check_clock, span_of_presentations, warn_of_lost_units
from v4egg.recordings.filters import filtered
from v4egg.recordings.readers import folder_counts
from v4egg.recordings.readers.folder_layout import Layout, layout_of
from v4egg.recordings.readers.folder_spikes import FolderSpikes, read_spikes
from v4egg.recordings.readers.image_files import ImageFiles, missing_images, opened_images, read_pictures
from v4egg.recordings.readers.notes import Notes
from v4egg.recordings.readers.presented import Presentations, ask_for_a_filter, in_order, without_blanks
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import SPIKES_PER_WINDOW, Recording
from v4egg.recordings.repeats import by_image, check_padding
from v4egg.recordings.sources import Source
from v4egg.registry import Options, PathText, checked


class FolderColumns(Options):
    """Names of files in the folder and of columns in its tables; what is not given has its usual name."""

    table: str | None = Field(
        None, description="Table of the presentations; null: presentations.csv, .tsv or .parquet."
    )
    start: str = Field("onset", description="Column of the onset in seconds; counts do without.")
    stop: str = Field("offset", description="Column of the offset in seconds; it may be absent.")
    stimulus: str = Field("stimulus", description="Column that names the image.")
    presentations_filter: dict[str, Any] | None = Field(
        None,
        description="Presentations to keep, by value or list of values of a column, such as {outcome: correct}; {}: "
        "all; null: all, but a table that marks some as aborted is refused.",
    )
    blank: list[str | int | float] | None = Field(
        None,
        description="Stimuli that mean no image; null: empty, nan, none, null, n/a, na, blank and omitted. Negative "
        "numbers and missing values always do.",
    )
    images: str | None = Field(
        None, description="Folder or zip file of the images; null: images, images.zip, or the only one with images."
    )
    number_from: Literal[0, 1, "name"] | None = Field(
        None,
        description="How whole-number stimuli count: positions from 0 or from 1, or name for the number in the image's "
        "name; null: as names tell.",
    )
    pixel_range: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Values that are black and white; null: as dtype and values tell, else refused.",
    )
    image_size: int | None = Field(
        None,
        ge=8,
        description="Pixels of the shorter side to which images are reduced as they are read; null: as they are.",
    )
    spikes: str | None = Field(
        None,
        description="Spike times: a table, a .npz or a folder of .npy with an array per unit, or a .npy of all times; "
        "null: spikes with one of these endings, or spike_times.npy.",
    )
    spike_units: str | None = Field(
        None, description="The unit of each time in a .npy of all times; null: spike_units.npy or spike_clusters.npy."
    )
    sampling_rate: float | None = Field(
        None, gt=0, description="Units of the spike times per second, such as 30000 for samples; null: they are in s."
    )
    unit: str = Field("unit", description="Column of the unit, in the tables of spikes and units.")
    time: str = Field("time", description="Column of the spike times in seconds.")
    counts: str | None = Field(
        None,
        description="Responses instead of spikes: a table or .npy of presentations by units, or a .npy of units, "
        "images and repeats; null: counts.csv, .tsv, .parquet or .npy.",
    )
    image_order: str | None = Field(
        None,
        description="Table whose first column names the images in the order of counts; null: images.csv, else that of "
        "the files, if their names sort in one way only.",
    )
    units: str | None = Field(None, description="Table of the units; null: units.csv, .tsv or .parquet, else none.")
    unit_filter: dict[str, Any] | None = Field(
        None,
        description="Units to keep, by value or list of values of a column of their table, such as {area: V4}; null: "
        "all.",
    )
    recorded: str | None = Field(
        None,
        description="Table with the columns start and stop, in seconds, and that of units if they differ: when units "
        "were recorded; null: recorded.csv, .tsv or .parquet, else as long as there are spikes.",
    )


class Folder(ReaderOptions):
    """A plain folder: a table of presentations, image files, and spikes or counts."""

    folder: PathText = Field(description="Path of the folder.")
    columns: FolderColumns = FolderColumns()
    repeats: int = Field(1, ge=1, description="Trials behind each entry of counts that are means.")
    response_unit: str = Field(
        SPIKES_PER_WINDOW,
        description="Unit of counts; another one where they are no counts of spikes and may be negative.",
    )

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`read_folder`."""
        return read_folder(
            path,
            session,
            columns=self.columns.model_dump(),
            repeats=self.repeats,
            response_unit=self.response_unit,
            background=background,
        )


def read_folder(
    path: str | Path,
    session: str,
    *,
    columns: Mapping[str, Any] | None = None,
    repeats: int = 1,
    response_unit: str = SPIKES_PER_WINDOW,
    background: float = 0.5,
) -> Recording:
    """Read a session from a plain folder.

    Args:
        path: the folder.
        session: session id; unit ids are ``<session>-u<row>`` with the row in the table of units, also after filtering,
            and without one the position in the natural order of the units' names.
        columns: names of files and columns, by the fields of :class:`FolderColumns`.
        repeats: trials behind each entry of counts.
        response_unit: unit of counts.
        background: grey level behind transparent images, in units of [0, 1].

    Returns:
        The recording, with spikes, trials and when units were recorded, or with counts. ``units`` has the column
        ``unit_name``, and those of the table of units.

    Raises:
        V4eggError: a file is missing or unreadable, a table lacks a column, files do not fit each other, or they can be
            understood in several ways.
    """
    path = Path(path)
    names: dict[str, Any] = checked(FolderColumns, dict(columns or {}), f"{path}: columns").model_dump()
    layout, notes = layout_of(path, names), Notes()
    with opened_images(layout.images) as files:
        if layout.spikes is not None:
            return _with_spikes(layout, session, names, files, notes, background)
        read = _counts_of_presentations if layout.presentations is not None else _counts_of_images
        counts, units, shown = read(layout, session, names, files, notes)
        images = _pictures(layout, files, shown, names, background)
    check_padding(counts, shown, str(layout.counts))
    return Recording(
        session=session,
        images=images,
        units=units,
        image_ids=shown,
        counts=counts.astype("float32"),
        repeats_averaged=repeats,
        attrs={"source": path.name},
        left_out=notes.left_out,
        warnings=notes.warnings,
        response_unit=response_unit,
    )


# --- spikes -----------------------------------------------------------------------------------------------------------


def _with_spikes(
    layout: Layout, session: str, names: Mapping[str, Any], files: ImageFiles, notes: Notes, background: float
) -> Recording:
    shown = _presentations(layout, names, notes)
    stored = read_spikes(layout, names)
    units, keep, spikes = _units_with_spikes(layout, session, names, stored)
    onset = shown.onset
    activity = activity_of(((unit, spikes.stored(unit)) for unit in units.index), onset)
    places = (str(layout.spikes and layout.spikes.name), shown.where)
    check_clock(layout.folder, activity, onset, keep, places, notes.warnings)
    kept = list(units.index[keep])
    if layout.recorded is None:
        warn_of_lost_units(layout.folder, activity, onset, keep, notes.warnings)
        why = "the spikes of all units"
        span = span_of_presentations(layout.folder, activity.span, onset, why, notes.warnings)
        recorded = None if span is None else dict.fromkeys(kept, span)
    else:
        recorded = _recorded(layout.recorded, names, units[keep])
    image_names, position = _matched(layout, shown, files, names, notes)
    return Recording(
        session=session,
        images=_pictures(layout, files, image_names, names, background),
        units=units[keep],
        image_ids=image_names,
        trials=pd.DataFrame({"image": position, "onset": onset, "offset": shown.offset}),
        spikes=spikes.of({unit: unit for unit in kept}),
        attrs={"source": layout.folder.name},
        recorded=recorded,
        left_out=notes.left_out,
        warnings=notes.warnings,
    )


def _units_with_spikes(
    layout: Layout, session: str, names: Mapping[str, Any], spikes: FolderSpikes
) -> tuple[pd.DataFrame, np.ndarray, FolderSpikes]:
    """All units, which of them the filter keeps, and their spikes by id."""
    table, listed = folder_counts.units_table(layout.units, names["unit"])
    lost = [name for name in spikes if listed is not None and name not in set(listed)]
    if lost:
        raise V4eggError(
            f"{layout.spikes}: {len(lost)} units, such as {lost[0]}, are not in {layout.units}; correct one of them"
        )
    units = _frame(session, table, list(spikes) if listed is None else listed, names["unit"])
    keep = _kept_units(layout, units, names)
    return units, keep, spikes.of(dict(zip(units.index, units["unit_name"], strict=True)))


def _recorded(path: Path, names: Mapping[str, Any], units: pd.DataFrame) -> dict[str, np.ndarray]:
    """When each unit was recorded, as a table says for all of them or for each."""
    table = read_table(path)
    edges = np.stack([numbers(column_of(table, name, path, "columns.recorded"), path) for name in ("start", "stop")], 1)
    if np.isnan(edges).any() or (edges[:, 1] <= edges[:, 0]).any():
        raise V4eggError(f"{path}: an interval has no start or stop, or ends before it starts; correct it")
    if names["unit"] not in table:
        return dict.fromkeys(units.index, intervals.merge(edges))
    owner = np.array([name or "" for name in texts(table[names["unit"]])], dtype=object)
    lost = [name for name in units["unit_name"] if name not in set(owner)]
    if lost:
        raise V4eggError(f"{path}: {len(lost)} units, such as {lost[0]}, have no interval; give each unit one")
    return {str(unit): intervals.merge(edges[owner == name]) for unit, name in units["unit_name"].items()}


# --- counts -----------------------------------------------------------------------------------------------------------


def _counts_of_presentations(
    layout: Layout, session: str, names: Mapping[str, Any], files: ImageFiles, notes: Notes
) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    """Counts (image, repeat, unit), the units, and the names of the images."""
    assert layout.presentations is not None and layout.counts is not None
    table, listed = folder_counts.units_table(layout.units, names["unit"])
    rows = len(read_table(layout.presentations))
    values, unit_names = folder_counts.per_presentation(layout.counts, rows, listed)
    shown = _presentations(layout, names, notes)
    units = _frame(session, table, unit_names, names["unit"])
    keep = _kept_units(layout, units, names)
    image_names, position = _matched(layout, shown, files, names, notes)
    assert shown.rows is not None
    return by_image(values[np.ix_(shown.rows, keep)], position, len(image_names)), units[keep], image_names


def _counts_of_images(
    layout: Layout, session: str, names: Mapping[str, Any], files: ImageFiles, notes: Notes
) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    """Counts (image, repeat, unit), the units, and the names of the images."""
    assert layout.counts is not None
    table, listed = folder_counts.units_table(layout.units, names["unit"])
    number = len(files.names)
    image_names = folder_counts.image_order(layout, files.names, number)
    counts, unit_names, told = folder_counts.per_image(layout.counts, len(image_names), listed)
    notes.warnings.extend(told)
    units = _frame(session, table, unit_names, names["unit"])
    keep = _kept_units(layout, units, names)
    return counts[..., keep], units[keep], image_names


# --- units ------------------------------------------------------------------------------------------------------------


def _frame(session: str, table: pd.DataFrame | None, unit_names: Sequence[str], column: str) -> pd.DataFrame:
    """One row per unit, with its name and what the table knows of it."""
    known = {} if table is None else {str(name): typed(table[name]) for name in table if name != column}
    ids = [f"{session}-u{row:03d}" for row in range(len(unit_names))]
    return pd.DataFrame({**known, "unit_name": list(unit_names)}, index=pd.Index(ids, name="unit"))


def _kept_units(layout: Layout, units: pd.DataFrame, names: Mapping[str, Any]) -> np.ndarray:
    where = f"{layout.units or layout.folder}: columns.unit_filter"

    def values_of(name: str) -> list[Any]:
        column = "unit_name" if name == names["unit"] else name
        if column not in units:
            raise V4eggError(f"{where} names the column {name}; units have {', '.join(map(str, units))}")
        return units[column].tolist()

    return filtered(len(units), names["unit_filter"], values_of, lambda reason, count: None, where)


# --- presentations and images -----------------------------------------------------------------------------------------


def _presentations(layout: Layout, names: Mapping[str, Any], notes: Notes) -> Presentations:
    """The presentations that show an image, by onset."""
    path = layout.presentations
    assert path is not None
    table = read_table(path)
    ids = typed(column_of(table, names["stimulus"], path, "columns.stimulus"))
    rows = np.arange(len(table))
    every = Presentations(
        path.name, names["stimulus"], _onsets(layout, table, names), _offsets(path, table, names), ids
    )
    every.rows = rows
    wanted = names["presentations_filter"]
    if wanted is None:
        others = (str(name) for name in table if name not in (names["start"], names["stop"], names["stimulus"]))
        ask_for_a_filter(layout.folder, path.name, ((name, typed(table[name])) for name in others), notes)

    def values_of(name: str) -> list[Any]:
        return typed(column_of(table, name, path, "columns.presentations_filter"))

    where = f"{path}: columns.presentations_filter"
    kept = every.keep(filtered(len(rows), wanted, values_of, notes.leave_out, where))
    return in_order(layout.folder, without_blanks(layout.folder, kept, names["blank"], notes), notes)


def _onsets(layout: Layout, table: pd.DataFrame, names: Mapping[str, Any]) -> np.ndarray:
    """Onsets (s); counts that have none stay in the order of the rows."""
    path, name = layout.presentations, names["start"]
    if layout.counts is not None and name not in table and name == FolderColumns().start:
        return np.arange(len(table), dtype="float64")
    assert path is not None
    return numbers(column_of(table, name, path, "columns.start"), path)


def _offsets(path: Path, table: pd.DataFrame, names: Mapping[str, Any]) -> np.ndarray:
    """Offsets (s), NaN where they are not known."""
    if names["stop"] not in table and names["stop"] == FolderColumns().stop:
        return np.full(len(table), np.nan)
    return numbers(column_of(table, names["stop"], path, "columns.stop"), path)


def _matched(
    layout: Layout, shown: Presentations, files: ImageFiles, names: Mapping[str, Any], notes: Notes
) -> tuple[list[str], np.ndarray]:
    """Names of the images that were shown, and the position of each presentation's among them."""
    where = f"{layout.presentations}: {names['stimulus']}"
    told: list[str] = []
    places = match_names(
        shown.ids, files.names, ordered=False, where=where, number_from=names["number_from"], warnings=told
    )
    remedy = "set columns.stimulus or columns.images, or columns.blank if they mean no image"
    missing_images(shown.ids, places, where, len(files.names), remedy)
    notes.warnings.extend(dict.fromkeys(told))
    used, position = np.unique(np.array(places, int), return_inverse=True)
    return [files.names[place] for place in used], position


def _pictures(
    layout: Layout, files: ImageFiles, image_names: Sequence[str], names: Mapping[str, Any], background: float
) -> np.ndarray:
    wanted = names["pixel_range"]
    return read_pictures(
        [files.file(name) for name in image_names],
        image_names,
        where=str(layout.images),
        size=names["image_size"],
        pixel_range=None if wanted is None else (wanted[0], wanted[1]),
        background=background,
    )


class FolderFiles(Source):
    """The files of a plain folder."""

    @property
    def path(self) -> str:
        """The folder."""
        return str(self.options["folder"])

    def _layout(self) -> Layout:
        return layout_of(self.path, self.options.get("columns") or {})

    def files(self) -> list[str]:
        """Tables and arrays, and the images where they are a zip file."""
        layout = self._layout()
        return [str(path) for path in [*layout.tables, layout.images] if path.is_file()]

    def folders(self) -> list[str]:
        """Images, and the arrays of units where each has one."""
        layout = self._layout()
        return [str(path) for path in (layout.images, layout.spikes) if path is not None and path.is_dir()]

    def check(self, named: bool) -> None:
        """Refuse a folder that is not there or lacks a file."""
        try:
            self._layout()
        except V4eggError as error:
            raise V4eggError(f"sessions.{self.session}: {error}") from None

    def counts_spikes(self) -> bool:
        """Whether the configuration says nothing else."""
        return bool(self.options.get("response_unit", SPIKES_PER_WINDOW) == SPIKES_PER_WINDOW)
