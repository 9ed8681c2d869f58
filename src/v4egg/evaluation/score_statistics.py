"""How well encoders predict test images: a scores store read for figures and summary, intervals, paired comparisons."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.stats.inference import adjusted_p_values, bootstrap_interval, paired_wilcoxon

GROUPS = ("ensemble", "generators", "validators")  # members that are means; every other one is one network


def scores_on_test(path: str | Path) -> xr.Dataset:
    """The test split of a scores store, in memory; the dim ``split`` is gone.

    Raises:
        V4eggError: no test split, no member ``ensemble``, or units without a session.
    """
    scores = stores.load(path, "scores")
    if "session" not in scores.coords:
        raise V4eggError(f"{path}: the coordinate session(unit) is missing; run the rule that makes it again")
    if "reference_model" in scores and scores["reference_model"].ndim != 1:
        raise V4eggError(
            f"{path}: reference_model must hold names; write the correlations as reference_model_correlation"
        )
    stores.require(scores, "split", "test", path)
    stores.require(scores, "member", "ensemble", path)
    return scores.sel(split="test").load()


def sessions_with_test(scores: xr.Dataset) -> list[str]:
    """Sessions in which some unit has a finite test correlation, in the order of the store."""
    scored = scores["correlation_to_average"].notnull().any(["arch", "member"])
    return list(dict.fromkeys(str(name) for name in scores["session"].values[scored.values]))


def units_of(scores: xr.Dataset, session: str) -> xr.Dataset:
    """The units of one session."""
    return scores.isel(unit=np.flatnonzero(scores["session"].values == session))


def mean_interval(values: xr.DataArray | np.ndarray, *key: str) -> tuple[float, float, float]:
    """Mean over units of the finite values and its 95% bootstrap interval, NaN below two values.

    ``key`` (session, model, metric) names the draw, so that figure and summary show the same interval.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if values.size else math.nan
    return mean, *bootstrap_interval(values, np.mean, ("scores", *key))


def compare(scores: xr.Dataset) -> pd.DataFrame:
    """Paired comparisons over the units of each session, of correlations to average on test images.

    Encoders (ensembles of one architecture, and combined ones) are compared with each other, with every reference model
    and with every baseline.

    Args:
        scores: What :func:`scores_on_test` returns.

    Returns:
        A row per session and pair. Columns: ``session``; ``a``, ``b``; ``mean_a``, ``mean_b``; ``difference`` (a - b)
        of the means with its 95% bootstrap interval ``low`` and ``high``; ``p_value`` (two-sided paired Wilcoxon test)
        and ``p_adjusted`` (corrected by the false discovery rate over all comparisons of the session); ``effect``
        (rank-biserial, positive where a is higher); ``n``, units with both, over which the means are; ``n_won`` and
        ``n_lost``, those of them in which a is higher and lower.
    """
    rows = [row for session in sessions_with_test(scores) for row in _comparisons(units_of(scores, session), session)]
    columns = ["session", "a", "b", "mean_a", "mean_b", "difference", "low", "high", "p_value", "effect", "n"]
    table = pd.DataFrame(rows, columns=[*columns, "n_won", "n_lost"])
    adjusted = table.groupby("session")["p_value"].transform(adjusted_p_values)
    table.insert(list(table.columns).index("p_value") + 1, "p_adjusted", adjusted)
    return table


def named_encoders(scores: xr.Dataset) -> dict[str, xr.DataArray]:
    """The encoders' correlations to average (unit,) by name: each combined architecture and each architecture."""
    ensembles = scores["correlation_to_average"].sel(member="ensemble")
    single = {str(arch): ensembles.sel(arch=arch) for arch in scores["arch"].values}
    return model_correlations(scores, "combined") | single


def model_correlations(scores: xr.Dataset, kind: str) -> dict[str, xr.DataArray]:
    """The correlations (unit,) of other models by name.

    Args:
        scores: A scores dataset of one split.
        kind: ``reference_model``, ``baseline`` or ``combined``.
    """
    if f"{kind}_correlation" not in scores:
        return {}
    values = scores[f"{kind}_correlation"]
    return {str(name): values.sel({kind: name}) for name in scores[kind].values}


def _comparisons(session_scores: xr.Dataset, session: str) -> list[tuple[Any, ...]]:
    encoders = named_encoders(session_scores)
    others = model_correlations(session_scores, "reference_model") | model_correlations(session_scores, "baseline")
    pairs = [*itertools.combinations(encoders, 2), *itertools.product(encoders, others)]
    correlations = {**others, **encoders}
    rows = [(session, a, b, *_paired(correlations[a].values, correlations[b].values, session, a, b)) for a, b in pairs]
    return [row for row in rows if row[-3]]  # n


def _paired(a: np.ndarray, b: np.ndarray, *key: str) -> tuple[float, ...]:
    """The numbers of one row of :func:`compare`."""
    paired = np.isfinite(a) & np.isfinite(b)
    a, b = a[paired].astype(float), b[paired].astype(float)
    if not len(a):
        return (math.nan,) * 7 + (0, 0, 0)
    test = paired_wilcoxon(a, b)
    counts = len(a), int((a > b).sum()), int((a < b).sum())
    return a.mean(), b.mean(), *mean_interval(a - b, *key), test.p_value, test.rank_biserial, *counts
