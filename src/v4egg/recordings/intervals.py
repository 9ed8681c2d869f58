"""Intervals of time: when a unit was recorded, and whether a response window lies inside that time."""

import numpy as np

from v4egg.errors import V4eggError

ALWAYS = ((-np.inf, np.inf),)


def merge(intervals: np.ndarray) -> np.ndarray:
    """Sort intervals and join those that touch or overlap.

    Args:
        intervals: (interval, 2), start and stop in s. Intervals whose stop is not after their start are dropped.

    Returns:
        float64 (interval, 2), ascending and disjoint.

    Raises:
        V4eggError: the array has another shape, or a start or stop is NaN.

    Example:
        >>> merge([[5, 6], [0, 2], [2, 3], [4, 4]]).tolist()
        [[0.0, 3.0], [5.0, 6.0]]
    """
    given = np.asarray(intervals, "float64").reshape(-1, 2) if np.size(intervals) == 0 else np.asarray(intervals, float)
    if given.ndim != 2 or given.shape[1] != 2 or np.isnan(given).any():
        raise V4eggError(f"intervals of shape {given.shape}: expected (interval, 2), start and stop in s without NaN")
    given = given[given[:, 1] > given[:, 0]]
    given = given[np.argsort(given[:, 0], kind="stable")]
    if len(given) == 0:
        return given
    latest = np.maximum.accumulate(given[:, 1])
    first = np.flatnonzero(np.concatenate([[True], given[1:, 0] > latest[:-1]]))
    return np.stack([given[first, 0], latest[np.append(first[1:], len(given)) - 1]], axis=1)


def cut_out(intervals: np.ndarray, invalid: np.ndarray) -> np.ndarray:
    """Remove times from intervals.

    Args:
        intervals: (interval, 2), start and stop in s.
        invalid: (interval, 2), the times to remove.

    Returns:
        float64 (interval, 2), ascending and disjoint.

    Example:
        >>> cut_out([[0, 10]], [[2, 3], [9, 20]]).tolist()
        [[0.0, 2.0], [3.0, 9.0]]
    """
    gaps = merge(invalid)
    valid = np.stack([np.append(-np.inf, gaps[:, 1]), np.append(gaps[:, 0], np.inf)], axis=1)
    kept = merge(intervals)
    start = np.maximum(kept[:, None, 0], valid[None, :, 0])
    stop = np.minimum(kept[:, None, 1], valid[None, :, 1])
    pieces = np.stack([start, stop], axis=-1).reshape(-1, 2)
    return pieces[pieces[:, 1] > pieces[:, 0]]


def contain(intervals: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Tell which windows lie wholly inside one of the intervals.

    Args:
        intervals: (interval, 2) in s, ascending and disjoint.
        start: starts of the windows in s, any shape.
        stop: stops of the windows in s, of the same shape.

    Returns:
        bool, of the same shape.

    Example:
        >>> contain(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([0.0, 0.5, 2.0]), np.array([1.0, 2.5, 2.1])).tolist()
        [True, False, True]
    """
    intervals = np.asarray(intervals, "float64").reshape(-1, 2)
    if len(intervals) == 0:
        return np.zeros(np.shape(start), bool)
    last = np.searchsorted(intervals[:, 0], start, side="right") - 1  # the last interval that starts by then
    return (last >= 0) & (stop <= intervals[last, 1])
