"""When the units of an NWB file were recorded, and whether spikes and presentations share one clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pynwb import NWBFile
from pynwb.ecephys import ElectricalSeries, SpikeEventSeries

from v4egg.errors import V4eggError
from v4egg.recordings import intervals
from v4egg.recordings.readers.nwb_file import Notes, found, listed
from v4egg.recordings.readers.nwb_presentations import Presentations
from v4egg.recordings.readers.nwb_units import UnitTable, cleaned

RESPONSE = 0.5  # s after the onset, in which responses lie whatever the window
SURPRISING = 10.0  # spikes expected where there is none: by chance with probability 5e-5
_LOST = 30.0  # the same for one unit, whose rate may drift
_FEW_IN_RANGE = 0.05  # share of presentations where there are spikes, below which clocks differ
_MUCH_LONGER = 300.0  # how many times longer than presentations spikes last, if their times are in ms
_SLOW = 0.2  # spikes/s, below which such times are likely
_THOUSAND = (300.0, 3000.0)  # a ratio of times that says milliseconds
_NAMED = 4  # how many units a message names


@dataclass
class Activity:
    """What one pass over the spikes of all units finds; NaN for units without a spike.

    Attributes:
        units: unit ids.
        count: int64 (unit,), spikes.
        first: float64 (unit,), time of the first spike in s.
        last: float64 (unit,), time of the last spike in s.
        responding: int64 (unit,), presentations with a spike within :data:`RESPONSE` after the onset.
        damaged: int64 (unit,), spike times that are not finite.
        unsorted: bool (unit,), whether times are not ascending in the file.
        double: int64 (unit,), spikes at the time of another.
    """

    units: list[str]
    count: np.ndarray
    first: np.ndarray
    last: np.ndarray
    responding: np.ndarray
    damaged: np.ndarray
    unsorted: np.ndarray
    double: np.ndarray

    @property
    def start(self) -> float:
        """Time of the first spike of all units, s."""
        return float(np.nanmin(self.first))

    @property
    def stop(self) -> float:
        """Time of the last spike of all units, s."""
        return float(np.nanmax(self.last))

    @property
    def rate(self) -> float:
        """Spikes/s of all units together, between the first and the last one."""
        return float(self.count.sum()) / max(self.stop - self.start, 1e-9)

    @property
    def slack(self) -> float:
        """Seconds without a spike of any unit that are too long to be chance."""
        return SURPRISING / self.rate


def activity_of(units: UnitTable, onset: np.ndarray) -> Activity:
    """Look at the spikes of all units once, one unit at a time.

    Args:
        units: the units, those that the filter removes included: they tell as well when the recording ran.
        onset: (presentation,) in s, ascending.
    """
    ids = list(units.frame.index)
    rows = [_activity_of_one(units.spikes.stored(unit), onset) for unit in ids]
    count, first, last, responding, damaged, unsorted, double = (np.array(column) for column in zip(*rows, strict=True))
    return Activity(ids, count, first, last, responding, damaged, unsorted, double)


def _activity_of_one(stored: np.ndarray, onset: np.ndarray) -> tuple[Any, ...]:
    times = cleaned(stored)
    damaged = len(stored) - len(times)
    unsorted = bool((np.diff(stored) < 0).any())
    if len(times) == 0:
        return 0, np.nan, np.nan, 0, damaged, unsorted, 0
    responding = np.searchsorted(times, onset + RESPONSE) > np.searchsorted(times, onset)
    double = int((np.diff(times) == 0).sum())
    return len(times), times[0], times[-1], int(responding.sum()), damaged, unsorted, double


def check_clock(path: Path, units: UnitTable, activity: Activity, shown: Presentations, notes: Notes) -> None:
    """Refuse spikes and presentations whose times do not belong together.

    Raises:
        V4eggError: no unit that is kept has a spike, or the times do not overlap as those of one session do.
    """
    kept = units.keep
    if not activity.count[kept].any():
        which = " that unit_filter keeps" if not kept.all() else ""
        raise V4eggError(f"{path}: no unit{which} has spikes in {units.where}")
    _check_overlap(path, units, activity, shown)
    apart = kept & (activity.count >= SURPRISING) & (activity.responding == 0)
    if apart.any():
        notes.warnings.append(
            f"{path.name}: spikes of {_some(activity.units, apart)} lie near no presentation; check their times"
        )
    _warn_of_damage(path, activity, kept, notes)


def recorded_intervals(
    path: Path, nwb: NWBFile, units: UnitTable, activity: Activity, shown: Presentations, notes: Notes
) -> dict[str, np.ndarray] | None:
    """When each unit that is kept was recorded.

    A unit's observation intervals count, the session's invalid times are cut out, and where the file does not state
    observation intervals, presentations before or after the recording do not count: outside of its continuous raw
    recording, if all spikes lie inside of it, or where all units are silent for longer than chance allows.

    Returns:
        unit id -> float64 (interval, 2) in s, ascending and disjoint; None if all units were always recorded.

    Raises:
        V4eggError: an interval has no start or stop.
    """
    invalid = _invalid_times(path, nwb)
    observed = _observed(path, units, activity, notes)
    session = None if observed is not None else _session_span(path, nwb, units, activity, shown, notes)
    _warn_of_lost_units(path, units, activity, shown, observed, notes)
    if observed is None and session is None and len(invalid) == 0:
        return None
    if len(invalid):
        total = float((invalid[:, 1] - invalid[:, 0]).sum())
        notes.warnings.append(f"{path.name}: {total:.4g} s of /intervals/invalid_times count as not recorded")
    base = np.array(intervals.ALWAYS if session is None else session)
    each = {unit: base if observed is None else observed[unit] for unit in units.kept}
    return {unit: intervals.cut_out(own, invalid) for unit, own in each.items()}


# --- one clock --------------------------------------------------------------------------------------------------------


def _check_overlap(path: Path, units: UnitTable, activity: Activity, shown: Presentations) -> None:
    start, stop = activity.start - activity.slack, activity.stop + activity.slack
    inside = float(((shown.onset >= start) & (shown.onset <= stop)).mean())
    longer = (activity.stop - activity.start) / max(float(np.ptp(shown.onset)), RESPONSE)
    single = float(np.nanmedian(activity.count / (activity.last - activity.first + 1e-9)))
    responding = activity.responding[units.keep].any()
    if responding and inside >= _FEW_IN_RANGE and not (longer > _MUCH_LONGER and single < _SLOW):
        return
    clock = (
        f"spikes of {units.where} lie from {activity.start:.6g} to {activity.stop:.6g} s, presentations of "
        f"{shown.where} from {shown.onset[0]:.6g} to {shown.onset[-1]:.6g} s"
    )
    raise V4eggError(f"{path}: {clock}, and do not belong to one clock{_likely_cause(activity, shown)}")


def _likely_cause(activity: Activity, shown: Presentations) -> str:
    ratio = max(activity.stop, 1e-9) / max(float(shown.onset[-1]), 1e-9)
    if _THOUSAND[0] < ratio < _THOUSAND[1]:
        return "; spike times look like milliseconds: write them in s"
    if _THOUSAND[0] < 1 / ratio < _THOUSAND[1] and activity.rate > 1000 * _SLOW:
        return (
            "; onsets look like milliseconds, or spike times begin at 0 in every trial: write both in s of the session"
        )
    if ratio < _FEW_IN_RANGE:
        return "; spike times may begin at 0 in every trial: write them in s of the session"
    return "; write both in s from the start of the session, or correct columns.table and columns.start"


def _warn_of_damage(path: Path, activity: Activity, kept: np.ndarray, notes: Notes) -> None:
    if (activity.damaged[kept] > 0).any():
        which = kept & (activity.damaged > 0)
        count = int(activity.damaged[which].sum())
        notes.warnings.append(
            f"{path.name}: {count} spike times of {_some(activity.units, which)} are NaN and left out"
        )
    if (activity.unsorted & kept).any():
        which = activity.unsorted & kept
        notes.warnings.append(f"{path.name}: spike times of {_some(activity.units, which)} were not in order; sorted")
    if (activity.double[kept] > 0).any():
        which = kept & (activity.double > 0)
        count = int(activity.double[which].sum())
        notes.warnings.append(
            f"{path.name}: {count} spikes of {_some(activity.units, which)} have the time of another spike of the "
            "unit; all of them count"
        )


# --- what was recorded ------------------------------------------------------------------------------------------------


def _invalid_times(path: Path, nwb: NWBFile) -> np.ndarray:
    if nwb.invalid_times is None or len(nwb.invalid_times) == 0:
        return np.empty((0, 2))
    table = nwb.invalid_times
    edges = [np.asarray(table[name].data[:], "float64") for name in ("start_time", "stop_time")]
    return _merged(path, np.stack(edges, axis=1), "/intervals/invalid_times")


def _merged(path: Path, rows: np.ndarray, where: str) -> np.ndarray:
    if np.isnan(rows).any():
        raise V4eggError(f"{path}: {where} has an interval without start or stop; correct it")
    return intervals.merge(rows)


def _observed(path: Path, units: UnitTable, activity: Activity, notes: Notes) -> dict[str, np.ndarray] | None:
    """Observation intervals of all units; a unit with spikes and no interval was always recorded."""
    stated = units.observed
    if stated is None or not any(len(rows) for rows in stated.values()):
        return None
    every = {unit: _merged(path, rows, f"obs_intervals of unit {unit}") for unit, rows in stated.items()}
    unstated = np.array([len(every[unit]) == 0 for unit in activity.units]) & (activity.count > 0)
    if unstated.any():
        notes.warnings.append(
            f"{path.name}: {_some(activity.units, unstated)} have spikes and no obs_intervals; taken as always recorded"
        )
        always = np.array(intervals.ALWAYS)
        every |= {unit: always for unit, open_ in zip(activity.units, unstated, strict=True) if open_}
    return every


def _session_span(
    path: Path, nwb: NWBFile, units: UnitTable, activity: Activity, shown: Presentations, notes: Notes
) -> np.ndarray | None:
    """When the session was recorded, (interval, 2) in s; None if that was during all presentations, or is not known."""
    raw = _raw_recording(nwb)
    if len(raw) and _all_inside(units, raw):
        span, why = raw, "the raw recording"
    else:
        span = np.array([[activity.start - activity.slack, activity.stop + activity.slack]])
        why = "the spikes of all units"
    begins, ends = intervals.contain(span, shown.onset, shown.onset), shown.onset + RESPONSE
    outside = ~(begins | intervals.contain(span, ends, ends))
    if not outside.any():
        return None
    notes.warnings.append(
        f"{path.name}: {int(outside.sum())} of {len(shown)} presentations lie outside of {why} "
        f"({span[0, 0]:.6g} to {span[-1, 1]:.6g} s) and count as not recorded"
    )
    return span


def _raw_recording(nwb: NWBFile) -> np.ndarray:
    """Intervals in which the continuous recordings of electrodes run, (interval, 2) in s."""
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


def _warn_of_lost_units(
    path: Path,
    units: UnitTable,
    activity: Activity,
    shown: Presentations,
    observed: dict[str, np.ndarray] | None,
    notes: Notes,
) -> None:
    """Say which units are silent at the start or at the end for longer than their rate explains."""
    if observed is not None:
        return
    begin, end = max(shown.onset[0], activity.start), min(shown.onset[-1], activity.stop)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = activity.count / (activity.last - activity.first)
        silent = np.maximum(end - activity.last, activity.first - begin)
    lost = units.keep & (activity.count > 1) & (rate * silent > _LOST) & (silent > 0.1 * (end - begin))
    if lost.any():
        notes.warnings.append(
            f"{path.name}: {_some(activity.units, lost)} are silent at the start or the end of the session, as if they "
            "had been lost; without obs_intervals their silence counts as zero spikes"
        )


def _some(units: Sequence[str], which: np.ndarray) -> str:
    names = [unit for unit, chosen in zip(units, which, strict=True) if chosen]
    return f"{len(names)} unit{'s' * (len(names) > 1)} ({listed(names, _NAMED)})"
