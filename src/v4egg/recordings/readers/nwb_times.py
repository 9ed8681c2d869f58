"""When the units of an NWB file were recorded."""

from pathlib import Path

import numpy as np
from pynwb import NWBFile
from pynwb.ecephys import ElectricalSeries, SpikeEventSeries

from v4egg.errors import V4eggError
from v4egg.recordings import intervals
from v4egg.recordings.clock import (
    Activity,
    activity_of,
    check_clock,
    cleaned,
    span_of_presentations,
    warn_of_lost_units,
)
from v4egg.recordings.readers.notes import Notes, listed
from v4egg.recordings.readers.nwb_file import found
from v4egg.recordings.readers.nwb_units import UnitTable
from v4egg.recordings.readers.presented import Presentations

_ALWAYS = np.array(intervals.ALWAYS)


def recorded_times(
    path: Path, nwb: NWBFile, units: UnitTable, shown: Presentations, notes: Notes
) -> dict[str, np.ndarray] | None:
    """Look at all spikes once: do they share the clock of the presentations, and when was each unit recorded.

    Args:
        path: the file.
        nwb: its content.
        units: its units.
        shown: the presentations.
        notes: of what is worth a look.

    Returns:
        As :func:`recorded_intervals`.

    Raises:
        V4eggError: spikes and presentations do not belong together, or an interval has no start or stop.
    """
    activity = activity_of(((unit, units.spikes.stored(unit)) for unit in units.frame.index), shown.onset)
    check_clock(path, activity, shown.onset, units.keep, (units.where, shown.where), notes.warnings)
    return recorded_intervals(path, nwb, units, activity, shown.onset, notes)


def recorded_intervals(
    path: Path, nwb: NWBFile, units: UnitTable, activity: Activity, onset: np.ndarray, notes: Notes
) -> dict[str, np.ndarray] | None:
    """When each unit that is kept was recorded.

    A unit's observation intervals count, and the session's invalid times are cut out. Where the file does not state
    observation intervals, presentations before or after the recording do not count: outside of its continuous raw
    recording, if all spikes lie inside of that, or where all units are silent for longer than chance allows.

    Args:
        path: the file.
        nwb: its content.
        units: its units.
        activity: what a pass over their spikes found.
        onset: (presentation,) in s, ascending.
        notes: of what is worth a look.

    Returns:
        unit id -> float64 (interval, 2) in s, ascending and disjoint; None if all units were always recorded.

    Raises:
        V4eggError: an interval has no start or stop, or stops before it starts, or no unit was recorded during any
            presentation.
    """
    recorded = _recorded(path, nwb, units, activity, onset, notes)
    if recorded is not None:
        _check_presentations(path, recorded, onset, notes)
    return recorded


def _recorded(
    path: Path, nwb: NWBFile, units: UnitTable, activity: Activity, onset: np.ndarray, notes: Notes
) -> dict[str, np.ndarray] | None:
    invalid = invalid_times(path, nwb)
    if len(invalid):
        total = float((invalid[:, 1] - invalid[:, 0]).sum())
        notes.warnings.append(f"{path.name}: {total:.4g} s of /intervals/invalid_times count as not recorded")
    observed = _observed(path, units, activity, notes)
    if observed is not None:
        return {unit: intervals.cut_out(observed[unit], invalid) for unit in units.kept}
    warn_of_lost_units(path, activity, onset, units.keep, notes.warnings)
    session = _session_span(path, nwb, units, activity, onset, notes)
    if session is None and len(invalid) == 0:
        return None
    base = intervals.cut_out(_ALWAYS if session is None else session, invalid)
    return dict.fromkeys(units.kept, base)


def _check_presentations(path: Path, recorded: dict[str, np.ndarray], onset: np.ndarray, notes: Notes) -> None:
    """Refuse intervals that hold no presentation: they are of another clock, or of nothing that counts."""
    never = [unit for unit, rows in recorded.items() if not intervals.contain(rows, onset, onset).any()]
    if len(never) == len(recorded):
        edges = np.concatenate([*recorded.values(), np.empty((0, 2))]).ravel()
        finite = edges[np.isfinite(edges)]
        when = f", which name {finite.min():.4g} to {finite.max():.4g} s" if len(finite) else ""
        raise V4eggError(
            f"{path}: presentations lie from {onset[0]:.4g} to {onset[-1]:.4g} s, and no unit was recorded during any "
            f"of them by obs_intervals and invalid_times{when}; correct these, or write all times in s of one clock"
        )
    if never:
        notes.warnings.append(f"{path.name}: recorded during no presentation: {listed(never, 4)}")


def invalid_times(path: Path, nwb: NWBFile) -> np.ndarray:
    """The times that a session calls invalid, (interval, 2) in s, ascending and disjoint.

    Raises:
        V4eggError: one of them has no start or stop, or stops before it starts.
    """
    table = nwb.invalid_times
    if table is None or len(table) == 0:
        return np.empty((0, 2))
    edges = [np.asarray(table[name].data[:], "float64") for name in ("start_time", "stop_time")]
    return _merged(path, np.stack(edges, axis=1), "/intervals/invalid_times")


def _merged(path: Path, rows: np.ndarray, where: str) -> np.ndarray:
    if np.isnan(rows).any():
        raise V4eggError(f"{path}: {where} has an interval without start or stop; correct it")
    backwards = rows[rows[:, 1] < rows[:, 0]]
    if len(backwards):
        start, stop = backwards[0]
        raise V4eggError(
            f"{path}: {where} has an interval from {start:.6g} to {stop:.6g} s, which ends before it starts; correct it"
        )
    return intervals.merge(rows)


def _observed(path: Path, units: UnitTable, activity: Activity, notes: Notes) -> dict[str, np.ndarray] | None:
    """Observation intervals of all units; a unit with spikes and no interval was always recorded."""
    if units.observed is None or not any(len(rows) for rows in units.observed.values()):
        return None
    every = {unit: _merged(path, rows, f"obs_intervals of unit {unit}") for unit, rows in units.observed.items()}
    unstated = np.array([len(every[unit]) == 0 for unit in activity.units]) & (activity.count > 0)
    if unstated.any():
        notes.warnings.append(
            f"{path.name}: {activity.some(unstated)} have spikes and no obs_intervals; taken as always recorded"
        )
    return {
        unit: _ALWAYS if open_ else every[unit] for unit, open_ in zip(activity.units, unstated.tolist(), strict=True)
    }


def _session_span(
    path: Path, nwb: NWBFile, units: UnitTable, activity: Activity, onset: np.ndarray, notes: Notes
) -> np.ndarray | None:
    """When the session was recorded, (interval, 2) in s; None if that was during all presentations, or is not known."""
    raw = raw_recording(nwb)
    if len(raw) and _all_inside(units, raw):
        return span_of_presentations(path, raw, onset, "the raw recording", notes.warnings)
    return span_of_presentations(path, activity.span, onset, "the spikes of all units", notes.warnings)


def raw_recording(nwb: NWBFile) -> np.ndarray:
    """When the continuous recordings of a file's electrodes ran, (interval, 2) in s, ascending and disjoint."""
    rows = [_span_of(item) for item in found(nwb, ElectricalSeries).values() if not isinstance(item, SpikeEventSeries)]
    return intervals.merge(np.array([row for row in rows if np.isfinite(row).all()]).reshape(-1, 2))


def _span_of(item: ElectricalSeries) -> tuple[float, float]:
    samples = item.data.shape[0] if item.data is not None else 0
    if samples == 0:
        return np.nan, np.nan
    if item.timestamps is not None:
        return float(item.timestamps[0]), float(item.timestamps[-1])
    start = float(item.starting_time or 0.0)
    return start, start + samples / float(item.rate)


def _all_inside(units: UnitTable, span: np.ndarray) -> bool:
    """Whether every spike lies inside of some intervals, give or take a millisecond."""
    wide = intervals.merge(span + np.array([-1e-3, 1e-3]))
    each = (cleaned(units.spikes.stored(unit)) for unit in units.frame.index)
    return all(bool(intervals.contain(wide, times, times).all()) for times in each)
