"""Whether spikes and presentations share one clock, and what long silences tell; for readers of any format."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from v4egg.errors import V4eggError
from v4egg.recordings import intervals

RESPONSE = 0.5  # s after the onset, in which responses lie whatever the window
SURPRISING = 10.0  # spikes expected where there is none: by chance with probability 5e-5
_LOST = 30.0  # the same for one unit, whose rate may drift
_LOST_SHARE = 0.1  # of the session, that a unit has to be silent at its start or end
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
    def span(self) -> np.ndarray:
        """From the first to the last spike, each with the silence that chance explains; (1, 2) in s."""
        slack = SURPRISING / self.rate
        return np.array([[self.start - slack, self.stop + slack]])

    def some(self, which: np.ndarray) -> str:
        """Number and names of chosen units, bool (unit,), for messages."""
        names = [unit for unit, chosen in zip(self.units, which, strict=True) if chosen]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{len(names)} unit{'s' * (len(names) > 1)} ({', '.join(names[:_NAMED])}{more})"


def cleaned(times: np.ndarray) -> np.ndarray:
    """Finite spike times in ascending order.

    Example:
        >>> cleaned(np.array([2.0, np.nan, -1.0])).tolist()
        [-1.0, 2.0]
    """
    finite = times[np.isfinite(times)]
    return finite if (finite[1:] >= finite[:-1]).all() else np.sort(finite)


def activity_of(spikes: Iterable[tuple[str, np.ndarray]], onset: np.ndarray) -> Activity:
    """Look at the spikes of all units once, one unit at a time.

    Args:
        spikes: unit ids and spike times in s as the file holds them, those of units that a filter removes included:
            they tell as well when the recording ran.
        onset: (presentation,) in s, ascending.

    Example:
        >>> found = activity_of([("u0", np.array([1.1, 2.3, 2.2])), ("u1", np.array([]))], np.array([1.0, 2.0, 3.0]))
        >>> found.count.tolist(), found.responding.tolist(), found.unsorted.tolist()
        ([3, 0], [2, 0], [True, False])
    """
    units, rows = [], []
    for unit, stored in spikes:
        units.append(unit)
        rows.append(_activity_of_one(np.asarray(stored, "float64"), onset))
    count, first, last, responding, damaged, unsorted, double = (np.array(column) for column in zip(*rows, strict=True))
    return Activity(units, count, first, last, responding, damaged, unsorted, double)


def _activity_of_one(stored: np.ndarray, onset: np.ndarray) -> tuple[Any, ...]:
    times = cleaned(stored)
    damaged = len(stored) - len(times)
    unsorted = bool((stored[1:] < stored[:-1]).any())
    if len(times) == 0:
        return 0, np.nan, np.nan, 0, damaged, unsorted, 0
    responding = np.searchsorted(times, onset + RESPONSE) > np.searchsorted(times, onset)
    double = int((times[1:] == times[:-1]).sum())
    return len(times), times[0], times[-1], int(responding.sum()), damaged, unsorted, double


def check_clock(
    path: Path, activity: Activity, onset: np.ndarray, keep: np.ndarray, places: tuple[str, str], warnings: list[str]
) -> None:
    """Refuse spikes and presentations whose times do not belong together.

    Args:
        path: the file, for messages.
        activity: of all units.
        onset: (presentation,) in s, ascending.
        keep: bool (unit,), the units that are read.
        places: where spikes and presentations are, for messages.
        warnings: a list to which is added what is worth a look.

    Raises:
        V4eggError: no unit that is read has a spike, or the times do not overlap as those of one session do.
    """
    if not activity.count[keep].any():
        which = "" if keep.all() else " that unit_filter keeps"
        raise V4eggError(f"{path}: no unit{which} has spikes in {places[0]}")
    _check_overlap(path, activity, onset, keep, places)
    apart = keep & (activity.count >= SURPRISING) & (activity.responding == 0)
    if apart.any():
        warnings.append(f"{path.name}: spikes of {activity.some(apart)} lie near no presentation; check their times")
    _warn_of_damage(path, activity, keep, warnings)


def _check_overlap(
    path: Path, activity: Activity, onset: np.ndarray, keep: np.ndarray, places: tuple[str, str]
) -> None:
    inside = float(intervals.contain(activity.span, onset, onset).mean())
    longer = (activity.stop - activity.start) / max(float(np.ptp(onset)), RESPONSE)
    with np.errstate(invalid="ignore", divide="ignore"):
        single = float(np.nanmedian(activity.count / (activity.last - activity.first)))
    in_milliseconds = longer > _MUCH_LONGER and single < _SLOW
    if activity.responding[keep].any() and inside >= _FEW_IN_RANGE and not in_milliseconds:
        return
    spans = (
        f"spikes of {places[0]} lie from {activity.start:.6g} to {activity.stop:.6g} s and presentations of "
        f"{places[1]} from {onset[0]:.6g} to {onset[-1]:.6g} s"
    )
    raise V4eggError(f"{path}: {spans}, which is no common clock; {_likely_cause(activity, float(onset[-1]))}")


def _likely_cause(activity: Activity, last_onset: float) -> str:
    ratio = max(activity.stop, 1e-9) / max(last_onset, 1e-9)
    if _THOUSAND[0] < ratio < _THOUSAND[1]:
        return "spike times look like milliseconds: write them in s"
    if _THOUSAND[0] < 1 / ratio < _THOUSAND[1]:
        return (
            "either onsets are milliseconds or spike times begin at 0 in every trial: write both in s from the start "
            "of the session"
        )
    if ratio < _FEW_IN_RANGE:
        return "spike times may begin at 0 in every trial: write them in s from the start of the session"
    return "write both in s from the start of the session, or correct which table and column has the onsets"


def _warn_of_damage(path: Path, activity: Activity, keep: np.ndarray, warnings: list[str]) -> None:
    damaged, double = keep & (activity.damaged > 0), keep & (activity.double > 0)
    if damaged.any():
        count = int(activity.damaged[damaged].sum())
        warnings.append(f"{path.name}: {count} spike times of {activity.some(damaged)} are not finite and left out")
    if (activity.unsorted & keep).any():
        which = activity.some(activity.unsorted & keep)
        warnings.append(f"{path.name}: spike times of {which} are not in order in the file and were sorted")
    if double.any():
        count = int(activity.double[double].sum())
        warnings.append(
            f"{path.name}: {count} spikes of {activity.some(double)} have the time of another spike of the "
            "unit; all count"
        )


def span_of_presentations(
    path: Path, span: np.ndarray, onset: np.ndarray, why: str, warnings: list[str]
) -> np.ndarray | None:
    """The span that was recorded, if presentations lie outside of it.

    Args:
        path: the file, for messages.
        span: (interval, 2) in s, ascending and disjoint, such as :attr:`Activity.span`.
        onset: (presentation,) in s, ascending.
        why: what the span is that of, for the warning.
        warnings: a list to which is added how many presentations were not recorded.

    Returns:
        The span; None if it contains the time after every onset, at least in part.

    Example:
        >>> span_of_presentations(Path("a.nwb"), np.array([[0.0, 9.0]]), np.array([1.0, 8.0]), "the spikes", []) is None
        True
    """
    ends = onset + RESPONSE
    outside = ~(intervals.contain(span, onset, onset) | intervals.contain(span, ends, ends))
    if not outside.any():
        return None
    warnings.append(
        f"{path.name}: {int(outside.sum())} of {len(onset)} presentations lie outside of {why} "
        f"({span[0, 0]:.6g} to {span[-1, 1]:.6g} s) and count as not recorded"
    )
    return span


def warn_of_lost_units(
    path: Path, activity: Activity, onset: np.ndarray, keep: np.ndarray, warnings: list[str]
) -> None:
    """Say which units are silent at the start or at the end for longer than their rate explains.

    Args:
        path: the file, for the warning.
        activity: of all units.
        onset: (presentation,) in s, ascending.
        keep: bool (unit,), the units that are read.
        warnings: a list to which one line is added.
    """
    begin, end = max(onset[0], activity.start), min(onset[-1], activity.stop)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = activity.count / (activity.last - activity.first)
        silent = np.maximum(end - activity.last, activity.first - begin)
    lost = keep & (activity.count > 1) & (rate * silent > _LOST) & (silent > _LOST_SHARE * (end - begin))
    if lost.any():
        warnings.append(
            f"{path.name}: {activity.some(lost)} are silent at the start or the end of the session, as if they had "
            "been lost; without intervals of observation their silence counts as zero spikes"
        )
