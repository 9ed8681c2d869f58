"""Transfer in numbers: each method against the best natural image, and methods against each other, judge by judge.

One image stands for a unit by one rule for all methods, :func:`v4egg.evaluation.best_images.best_images`. Units pair
up across methods. Statistics are given for each session and for all sessions pooled (session ``all``).
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL, NOISE
from v4egg.recordings.units import by_session
from v4egg.stats.inference import bootstrap_interval, huber_slope, paired_wilcoxon

POOLED = "all"
RELATIVE = ("normalized_activation", "normalized_at_matched_contrast", "normalized_to_best_natural")
HEAD = ["session", "arch", "judge", "shares_weights", "measure", "method"]


def against_natural(best: xr.Dataset, shares_weights: xr.DataArray) -> pd.DataFrame:
    """How far each method's images exceed natural ones, for each of :data:`RELATIVE` that ``best`` has.

    Args:
        best: what :func:`v4egg.evaluation.best_images.best_images` gives: dims (method, arch, unit, judge).
        shares_weights: bool (arch, judge).

    Returns:
        A row for each session, architecture, judge, measure and method: ``n`` units with a finite value, their
        ``median`` with its 95% bootstrap interval ``low`` and ``high``, and ``share_above``, of units above 1.
    """
    rows = []
    for head, here in _cells(best, shares_weights):
        for method in here["method"].values:
            values = _finite(here.sel({"method": method}).values)
            low, high = bootstrap_interval(values, np.median, ("transfer", *head[:3], head[4], str(method)))
            share = float((values > 1).mean()) if values.size else np.nan
            median = float(np.median(values)) if values.size else np.nan
            rows.append((*head, str(method), values.size, median, low, high, share))
    return pd.DataFrame(rows, columns=[*HEAD, "n", "median", "low", "high", "share_above"])


def between_methods(best: xr.Dataset, shares_weights: xr.DataArray) -> pd.DataFrame:
    """Every method against every one that the store names before it, over units that have both.

    Arguments as :func:`against_natural` has them. Noise is left out, and the best natural image is only compared
    where it is not 1 by definition: there :func:`against_natural` tells.

    Returns:
        A row for each session, architecture, judge, measure and pair: ``n`` units, ``share_won`` of them by
        ``method``, the median ``difference`` (method - against) with its 95% bootstrap interval ``low`` and ``high``,
        ``p_value`` (two-sided Wilcoxon, not corrected) and ``effect`` (rank-biserial, positive where method wins),
        and ``slope``, of method on against through the origin (Huber).
    """
    rows = []
    for head, here in _cells(best, shares_weights):
        names = [str(method) for method in here["method"].values if method not in (MODEL_SELECTED_NATURAL, NOISE)]
        for against, method in itertools.combinations(names, 2):
            x, y = here.sel({"method": against}).values, here.sel({"method": method}).values
            both = np.isfinite(x) & np.isfinite(y)
            if both.any():
                rows.append((*head, method, against, *_paired(x[both], y[both], (*head, method, against))))
    columns = ["n", "share_won", "difference", "low", "high", "p_value", "effect", "slope"]
    return pd.DataFrame(rows, columns=[*HEAD, "against", *columns])


def _cells(best: xr.Dataset, shares_weights: xr.DataArray) -> Iterator[tuple[tuple, xr.DataArray]]:
    """(session, arch, judge, shares_weights, measure) and the values (method, unit), where any is finite."""
    units = [str(unit) for unit in best["unit"].values]
    sessions = by_session(units)
    groups = {POOLED: units} | (sessions if len(sessions) > 1 else {})
    measures = [measure for measure in RELATIVE if measure in best]
    archs, judges = best["arch"].values, best["judge"].values
    for (session, chosen), arch, judge, measure in itertools.product(groups.items(), archs, judges, measures):
        here = best[measure].sel(arch=arch, judge=judge, unit=chosen).transpose("method", "unit")
        if here.notnull().any():
            shared = bool(shares_weights.sel(arch=arch, judge=judge))
            yield (session, str(arch), str(judge), shared, measure), here


def _paired(x: np.ndarray, y: np.ndarray, key: tuple) -> tuple[float, ...]:
    test, difference = paired_wilcoxon(y, x), y - x
    low, high = bootstrap_interval(difference, np.median, ("transfer", *key))
    won = float((difference > 0).mean())
    return len(x), won, float(np.median(difference)), low, high, test.p_value, test.rank_biserial, huber_slope(x, y)


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
