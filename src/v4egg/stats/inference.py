"""What differs beyond chance: intervals, paired tests and robust slopes over units. Missing values are left out.

A ``key`` is a tuple of printable parts that names the random draw, see :mod:`v4egg.seeding`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.linear_model import HuberRegressor

from v4egg.seeding import numpy_generator


class PairedTest(NamedTuple):
    """Result of :func:`paired_wilcoxon`."""

    p_value: float
    rank_biserial: float
    n_pairs: int


def bootstrap_interval(
    values: ArrayLike, statistic: Callable, key: tuple, level: float = 0.95, n: int = 10_000
) -> tuple[float, float]:
    """Percentile bootstrap confidence interval (low, high) of ``statistic`` over ``values`` (n_values,).

    ``statistic`` takes an array and ``axis``, as ``numpy.mean`` does. Missing values are left out; fewer than two
    values give (NaN, NaN). ``level`` is the coverage, ``n`` the number of resamples.
    """
    values = _floats(values).ravel()
    values = values[np.isfinite(values)]
    if values.size < 2:
        return np.nan, np.nan
    interval = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=n,
        batch=max(1, 2**20 // values.size),  # memory stays flat however many values
        confidence_level=level,
        method="percentile",
        random_state=numpy_generator(*key),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_wilcoxon(x: ArrayLike, y: ArrayLike) -> PairedTest:
    """Two-sided Wilcoxon signed-rank test of ``x`` against ``y`` (pair,), with the matched rank-biserial correlation.

    The effect size is (W+ - W-) / (W+ + W-) with W+ the rank sum of pairs where x > y: 1 when x always wins. Pairs with
    a missing member and ties (x == y) are left out, ``n_pairs`` counts the rest. Only ties: p 1, effect 0. No pair
    at all: NaN.

    Source: Wilcoxon 1945 (Biometrics 1:80); Kerby 2014 (Compr Psychol 3:1).
    """
    difference = _floats(x) - _floats(y)
    difference = difference[np.isfinite(difference)]
    if difference.size == 0:
        return PairedTest(np.nan, np.nan, 0)
    difference = difference[difference != 0]
    if difference.size == 0:
        return PairedTest(1.0, 0.0, 0)
    ranks = stats.rankdata(np.abs(difference))
    effect = np.sum(ranks * np.sign(difference)) / ranks.sum()
    return PairedTest(float(stats.wilcoxon(difference).pvalue), float(effect), difference.size)


def huber_slope(x: ArrayLike, y: ArrayLike, epsilon: float = 1.1) -> float:
    """Slope through the origin of ``y`` on ``x`` (pair,), by Huber regression with its scale estimated along.

    Both are normalised by their root mean square first, so the slope scales exactly as y / x does. Residuals beyond
    ``epsilon`` (at least 1) scales weigh linearly. Pairs with a missing member are left out; NaN with fewer than two
    pairs or where all x are 0.

    Source: Huber & Ronchetti 2009, Robust Statistics, 7.7; scikit-learn's ``HuberRegressor``.
    """
    x, y = _floats(x).ravel(), _floats(y).ravel()
    paired = np.isfinite(x) & np.isfinite(y)
    x, y = x[paired], y[paired]
    if x.size < 2 or not x.any():
        return np.nan
    if not y.any():
        return 0.0
    x_scale, y_scale = np.sqrt(np.mean(x**2)), np.sqrt(np.mean(y**2))
    model = HuberRegressor(epsilon=epsilon, alpha=0.0, fit_intercept=False, tol=1e-8, max_iter=1000)
    return float(model.fit(x[:, None] / x_scale, y / y_scale).coef_[0] * y_scale / x_scale)


def _floats(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)
