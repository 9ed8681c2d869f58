"""Confidence intervals, paired tests and robust slopes over units. Missing values are left out.

A ``key`` is a tuple of printable parts that identifies the random draw, see :mod:`v4egg.seeding`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.linear_model import HuberRegressor

from v4egg.seeding import numpy_generator
from v4egg.stats.missing import floats


class PairedTest(NamedTuple):
    """Result of :func:`paired_wilcoxon`.

    Attributes:
        p_value: two-sided.
        rank_biserial: matched rank-biserial correlation, from -1 to 1.
        n_pairs: number of pairs that differ.

    Example:
        >>> PairedTest(0.01, 1.0, 8).n_pairs
        8
    """

    p_value: float
    rank_biserial: float
    n_pairs: int


def bootstrap_interval(
    values: ArrayLike, statistic: Callable[..., Any], key: tuple[object, ...], level: float = 0.95, n: int = 10_000
) -> tuple[float, float]:
    """Percentile bootstrap confidence interval of a statistic.

    Args:
        values: the sample, of any shape; missing values are left out.
        statistic: takes an array and ``axis``, as :func:`numpy.mean` does.
        key: identifies the random draw.
        level: coverage of the interval.
        n: number of resamples.

    Returns:
        The lower and upper limit; (NaN, NaN) for fewer than two values.

    Source:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    Example:
        >>> low, high = bootstrap_interval(range(100), np.mean, ("example",), n=500)
        >>> low < 49.5 < high
        True
    """
    sample = floats(values).ravel()
    sample = sample[np.isfinite(sample)]
    if sample.size < 2:
        return np.nan, np.nan
    interval = stats.bootstrap(
        (sample,),
        statistic,
        n_resamples=n,
        batch=max(1, 2**20 // sample.size),  # limits the memory of large samples
        confidence_level=level,
        method="percentile",
        random_state=numpy_generator(*key),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_wilcoxon(x: ArrayLike, y: ArrayLike) -> PairedTest:
    """Two-sided Wilcoxon signed-rank test with the matched rank-biserial correlation as effect size.

    The effect size is (W+ - W-) / (W+ + W-) with W+ the rank sum of the pairs where x > y: 1 if x always exceeds y.

    Args:
        x: (pair,).
        y: (pair,).

    Returns:
        The test over the pairs that differ; pairs with a missing value and ties are left out. If all pairs are ties,
        the p-value is 1 and the effect size 0; if there is no pair, both are NaN.

    Source:
        Wilcoxon 1945 (Biometrics 1:80); Kerby 2014 (Compr Psychol 3:1).

    Example:
        >>> paired_wilcoxon([2, 4, 6, 8, 10], [1, 2, 3, 4, 5])
        PairedTest(p_value=0.0625, rank_biserial=1.0, n_pairs=5)
    """
    difference = floats(x) - floats(y)
    difference = difference[np.isfinite(difference)]
    if difference.size == 0:
        return PairedTest(np.nan, np.nan, 0)
    difference = difference[difference != 0]
    if difference.size == 0:
        return PairedTest(1.0, 0.0, 0)
    ranks = stats.rankdata(np.abs(difference))
    effect = np.sum(ranks * np.sign(difference)) / ranks.sum()
    return PairedTest(float(stats.wilcoxon(difference).pvalue), float(effect), difference.size)


def adjusted_p_values(p_values: ArrayLike) -> np.ndarray:
    """Correct the p-values of one family of comparisons for their number, by the false discovery rate.

    Args:
        p_values: (comparison,), NaN where a test was not possible; these neither count nor change.

    Returns:
        The corrected p-values (comparison,). Calling those up to 0.05 significant makes at most 5% of the calls false,
        on average.

    Source: Benjamini & Hochberg 1995 (J R Stat Soc B 57:289).

    Example:
        >>> adjusted_p_values([0.01, 0.04, float("nan")])
        array([0.02, 0.04,  nan])
    """
    corrected = floats(p_values).copy()
    is_finite = np.isfinite(corrected)
    if is_finite.any():
        corrected[is_finite] = stats.false_discovery_control(corrected[is_finite])
    return corrected


def huber_slope(x: ArrayLike, y: ArrayLike, epsilon: float = 1.1) -> float:
    """Slope through the origin of y on x, by Huber regression with concomitant scale.

    Both are divided by their root mean square first, so that the slope scales exactly as y / x does.

    Args:
        x: (pair,).
        y: (pair,).
        epsilon: residuals beyond so many scales (at least 1) are penalised linearly instead of quadratically.

    Returns:
        The slope. Pairs with a missing value are left out; NaN with fewer than two pairs or if all x are 0.

    Source:
        Huber & Ronchetti 2009, Robust Statistics, section 7.7; scikit-learn's ``HuberRegressor``.

    Example:
        >>> round(huber_slope([1, 2, 3, 4, 5], [2, 4, 6, 8, 90]), 1)
        2.0
    """
    first, second = floats(x).ravel(), floats(y).ravel()
    paired = np.isfinite(first) & np.isfinite(second)
    first, second = first[paired], second[paired]
    if first.size < 2 or not first.any():
        return np.nan
    if not second.any():
        return 0.0
    x_scale, y_scale = np.sqrt(np.mean(first**2)), np.sqrt(np.mean(second**2))
    model = HuberRegressor(epsilon=epsilon, alpha=0.0, fit_intercept=False, tol=1e-8, max_iter=1000)
    return float(model.fit(first[:, None] / x_scale, second / y_scale).coef_[0] * y_scale / x_scale)
