"""A session in a plain folder, understood: units, presentations, responses and names of images, but no pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from v4egg.errors import V4eggError
from v4egg.images.names import match_names
from v4egg.io.tables import column_of, numbers, read_table, texts, typed
from v4egg.recordings import intervals
from v4egg.recordings.clock import activity_of, check_clock, span_of_presentations, warn_of_lost_units
from v4egg.recordings.filters import filtered
from v4egg.recordings.readers import folder_counts
from v4egg.recordings.readers.folder_layout import Layout
from v4egg.recordings.readers.folder_spikes import FolderSpikes, read_spikes
from v4egg.recordings.readers.image_files import ImageFiles, missing_images, read_pictures
from v4egg.recordings.readers.notes import Notes
from v4egg.recordings.readers.presented import Presentations, ask_for_a_filter, in_order, without_blanks
from v4egg.recordings.repeats import by_image, check_padding, missing_responses

ONSET, OFFSET = "onset", "offset"  # the usual columns, without which some forms do


@dataclass
class FolderSession:
    """What is read from a folder, but its pixels.

    Attributes:
        units: one row per unit that is kept.
        image_names: names of the images that were shown, in the order of the recording.
        trials: columns ``image``, ``onset`` and ``offset`` (s), or None.
        spikes: unit id -> spike times (s), or None.
        counts: float32 (image, repeat, unit), or None.
        recorded: unit id -> (interval, 2) in s, or None.
    """

    units: pd.DataFrame
    image_names: list[str]
    trials: pd.DataFrame | None = None
    spikes: FolderSpikes | None = None
    counts: np.ndarray | None = None
    recorded: dict[str, np.ndarray] | None = None

    @property
    def shown(self) -> np.ndarray:
        """How often each image was shown, int64 (image,)."""
        if self.trials is not None:
            return np.bincount(self.trials["image"], minlength=len(self.image_names))
        return np.isfinite(np.asarray(self.counts)).any(axis=2).sum(axis=1)


def understand(
    layout: Layout, session: str, names: Mapping[str, Any], files: ImageFiles, notes: Notes
) -> FolderSession:
    """Read tables and arrays of a folder, and find the image of each presentation.

    Args:
        layout: of the folder.
        session: session id, the beginning of unit ids.
        names: the keys of ``columns``, with defaults.
        files: the images.
        notes: of what is left out and worth a look.

    Raises:
        OpenQuestion: something that a key of ``columns`` decides.
        V4eggError: a table lacks a column, or files do not fit each other.
    """
    if layout.spikes is not None:
        return _with_spikes(layout, session, names, files, notes)
    read = _counts_of_presentations if layout.presentations is not None else _counts_of_images
    found = read(layout, session, names, files, notes)
    assert found.counts is not None
    check_padding(found.counts, found.image_names, str(layout.counts))
    notes.warnings += missing_responses(found.counts, str(layout.counts and layout.counts.name))
    return found


# --- spikes -----------------------------------------------------------------------------------------------------------


def _with_spikes(
    layout: Layout, session: str, names: Mapping[str, Any], files: ImageFiles, notes: Notes
) -> FolderSession:
    shown = _presentations(layout, names, notes)
    units, keep, spikes = _units_with_spikes(layout, session, names, read_spikes(layout, names))
    onset, kept = shown.onset, list(units.index[keep])
    activity = activity_of(((unit, spikes.stored(unit)) for unit in units.index), onset)
    places = (str(layout.spikes and layout.spikes.name), shown.where)
    check_clock(layout.folder, activity, onset, keep, places, notes.warnings)
    if layout.recorded is None:
        warn_of_lost_units(layout.folder, activity, onset, keep, notes.warnings)
        why = "the spikes of all units"
        span = span_of_presentations(layout.folder, activity.span, onset, why, notes.warnings)
        recorded = None if span is None else dict.fromkeys(kept, span)
    else:
        recorded = _recorded(layout.recorded, names, units[keep])
    image_names, position = _matched(layout, shown, files, names, notes)
    trials = pd.DataFrame({"image": position, "onset": onset, "offset": shown.offset})
    return FolderSession(units[keep], image_names, trials, spikes.of({unit: unit for unit in kept}), recorded=recorded)


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
) -> FolderSession:
    assert layout.presentations is not None and layout.counts is not None
    table, listed = folder_counts.units_table(layout.units, names["unit"])
    rows = len(read_table(layout.presentations))
    values, unit_names = folder_counts.per_presentation(layout.counts, rows, listed)
    shown = _presentations(layout, names, notes)
    units = _frame(session, table, unit_names, names["unit"])
    keep = _kept_units(layout, units, names)
    image_names, position = _matched(layout, shown, files, names, notes)
    assert shown.rows is not None
    counts = by_image(values[np.ix_(shown.rows, keep)], position, len(image_names))
    return FolderSession(units[keep], image_names, counts=counts)


def _counts_of_images(
    layout: Layout, session: str, names: Mapping[str, Any], files: ImageFiles, notes: Notes
) -> FolderSession:
    assert layout.counts is not None
    table, listed = folder_counts.units_table(layout.units, names["unit"])
    number = len(files.names)
    image_names = folder_counts.image_order(layout, files.names, number)
    counts, unit_names, told = folder_counts.per_image(layout.counts, len(image_names), listed)
    notes.warnings.extend(told)
    units = _frame(session, table, unit_names, names["unit"])
    keep = _kept_units(layout, units, names)
    return FolderSession(units[keep], image_names, counts=counts[..., keep].astype("float32"))


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
    if layout.counts is not None and name not in table and name == ONSET:
        return np.arange(len(table), dtype="float64")
    assert path is not None
    return numbers(column_of(table, name, path, "columns.start"), path)


def _offsets(path: Path, table: pd.DataFrame, names: Mapping[str, Any]) -> np.ndarray:
    """Offsets (s), NaN where they are not known."""
    if names["stop"] not in table and names["stop"] == OFFSET:
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


def pictures(
    layout: Layout, files: ImageFiles, image_names: Sequence[str], names: Mapping[str, Any], background: float
) -> np.ndarray:
    """The images of these names, uint8 (image, channel, y, x).

    Raises:
        V4eggError: see :func:`v4egg.recordings.readers.image_files.read_pictures`.
    """
    wanted = names["pixel_range"]
    return read_pictures(
        [files.file(name) for name in image_names],
        image_names,
        where=str(layout.images),
        size=names["image_size"],
        size_key="columns.image_size",
        pixel_range=None if wanted is None else (wanted[0], wanted[1]),
        background=background,
    )
