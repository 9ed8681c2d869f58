"""Transfer in numbers: each method against natural images, and methods against each other, judge by judge.

One image stands for a unit by one rule for all methods, :func:`v4egg.evaluation.best_images.best_images`. Units pair
up across methods. Statistics are given for each session and for all sessions pooled (session ``all``).
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL, NOISE
from v4egg.recordings.units import by_session
from v4egg.stats.inference import adjusted_p_values, bootstrap_interval, huber_slope, paired_wilcoxon

POOLED = "all"
RELATIVE = ("normalized_activation", "normalized_at_matched_contrast", "normalized_to_best_natural")
HEAD = ["session", "arch", "judge", "shares_weights", "measure", "method"]


def against_natural(best: xr.Dataset, shares_weights: xr.DataArray) -> pd.DataFrame:
    """How far each method's images exceed natural ones, on each scale of :data:`RELATIVE` that ``best`` has.

    Args:
        best: What :func:`v4egg.evaluation.best_images.best_images` returns: dims (method, arch, unit, judge).
        shares_weights: bool (arch, judge).

    Returns:
        A row for each session, architecture, judge, measure and method. Columns besides :data:`HEAD`: ``n`` units with
        a finite value, their ``median`` with its 95% bootstrap interval ``low`` and ``high``, and ``share_above``, of
        units above 1.
    """
    rows = []
    for head, activation in _cells(best, shares_weights, RELATIVE):
        for method in activation["method"].values:
            values = _finite(activation.sel({"method": method}).values)
            low, high = bootstrap_interval(values, np.median, ("transfer", *head[:3], head[4], str(method)))
            share = float((values > 1).mean()) if values.size else np.nan
            median = float(np.median(values)) if values.size else np.nan
            rows.append((*head, str(method), values.size, median, low, high, share))
    return pd.DataFrame(rows, columns=[*HEAD, "n", "median", "low", "high", "share_above"])


def between_methods(best: xr.Dataset, shares_weights: xr.DataArray, measures: Sequence[str] = RELATIVE) -> pd.DataFrame:
    """Every method against every one that the store names before it, over units that have both.

    Noise is left out. So is the model-selected natural image, with which :func:`against_natural` compares.

    Args:
        best: What :func:`v4egg.evaluation.best_images.best_images` returns: dims (method, arch, unit, judge).
        shares_weights: bool (arch, judge).
        measures: Variables of ``best`` to compare.

    Returns:
        A row for each session, architecture, judge, measure and pair. Columns besides :data:`HEAD`: ``against``; ``n``
        units; ``n_won`` and ``share_won`` of them, where ``method`` is higher; the median ``difference`` (method -
        against) with its 95% bootstrap interval ``low`` and ``high``; ``p_value`` (two-sided paired Wilcoxon test),
        ``p_adjusted`` (corrected by the false discovery rate over all rows of the session and the measure) and
        ``effect`` (rank-biserial, positive where method is higher); and ``slope``, of method on against through the
        origin (Huber).
    """
    rows = []
    for head, values in _cells(best, shares_weights, measures):
        names = [str(method) for method in values["method"].values if method not in (MODEL_SELECTED_NATURAL, NOISE)]
        for against, method in itertools.combinations(names, 2):
            x, y = values.sel({"method": against}).values, values.sel({"method": method}).values
            both = np.isfinite(x) & np.isfinite(y)
            if both.any():
                rows.append((*head, method, against, *_paired(x[both], y[both], (*head, method, against))))
    columns = ["n", "n_won", "share_won", "difference", "low", "high", "p_value", "effect", "slope"]
    table = pd.DataFrame(rows, columns=[*HEAD, "against", *columns])
    adjusted = table.groupby(["session", "measure"])["p_value"].transform(adjusted_p_values)
    table.insert(list(table.columns).index("p_value") + 1, "p_adjusted", adjusted)
    return table


def _cells(
    best: xr.Dataset, shares_weights: xr.DataArray, measures: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], xr.DataArray]]:
    """(session, arch, judge, shares_weights, measure) and the values (method, unit), where any is finite."""
    units = [str(unit) for unit in best["unit"].values]
    sessions = by_session(units)
    groups = {POOLED: units} | (sessions if len(sessions) > 1 else {})
    measures = [measure for measure in measures if measure in best]
    archs, judges = best["arch"].values, best["judge"].values
    for (session, chosen), arch, judge, measure in itertools.product(groups.items(), archs, judges, measures):
        values = best[measure].sel(arch=arch, judge=judge, unit=chosen).transpose("method", "unit")
        if values.notnull().any():
            shared = bool(shares_weights.sel(arch=arch, judge=judge))
            yield (session, str(arch), str(judge), shared, measure), values


def _paired(x: np.ndarray, y: np.ndarray, key: tuple[Any, ...]) -> tuple[float, ...]:
    test, difference = paired_wilcoxon(y, x), y - x
    low, high = bootstrap_interval(difference, np.median, ("transfer", *key))
    won = difference > 0
    effect = test.p_value, test.rank_biserial, huber_slope(x, y)
    return len(x), int(won.sum()), float(won.mean()), float(np.median(difference)), low, high, *effect


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
