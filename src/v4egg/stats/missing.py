"""Arithmetic on arrays with missing values: NaN, without a warning, where a result is not defined."""

import numpy as np
from numpy.typing import ArrayLike

CONSTANT = 1e-13  # relative: a series that varies less differs by rounding only, as in scipy.stats.pearsonr


def floats(values: ArrayLike) -> np.ndarray:
    """Return values as a float64 array."""
    return np.asarray(values, dtype=np.float64)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Return the quotient where the denominator is positive and NaN elsewhere; shapes broadcast.

    Example:
        >>> ratio([1, 1], [2, 0])
        array([0.5, nan])
    """
    positive = np.asarray(denominator) > 0
    return np.divide(
        numerator, denominator, out=np.full(np.broadcast(numerator, denominator).shape, np.nan), where=positive
    )


def mean(values: np.ndarray, valid: np.ndarray, axis: int, keepdims: bool = False) -> np.ndarray:
    """Return the mean over the ``valid`` values along ``axis``; NaN where none is.

    Example:
        >>> values = np.array([1.0, 2.0, np.nan])
        >>> mean(values, np.isfinite(values), 0)
        array(1.5)
    """
    total = np.sum(values, axis=axis, where=valid, keepdims=keepdims)
    return ratio(total, np.sum(valid, axis=axis, keepdims=keepdims))


def centred(values: np.ndarray, valid: np.ndarray, axis: int) -> np.ndarray:
    """Return deviations from the mean of the ``valid`` values; 0 for other values and where they are rounding only.

    Example:
        >>> centred(np.array([1.0, 3.0]), np.array([True, True]), 0)
        array([-1.,  1.])
    """
    deviations = np.where(valid, values - mean(values, valid, axis, keepdims=True), 0.0)
    peak = np.max(np.abs(deviations), axis=axis, keepdims=True, initial=0.0)
    magnitude = np.max(np.abs(values), axis=axis, keepdims=True, where=valid, initial=0.0)
    return np.where(peak > CONSTANT * magnitude, deviations, 0.0)


def standardised(values: np.ndarray, valid: np.ndarray, axis: int) -> np.ndarray:
    """Return centred values of unit L2 norm along ``axis``; 0 for other values, NaN where the valid are constant.

    Example:
        >>> standardised(np.array([0.0, 2.0]), np.array([True, True]), 0).round(3)
        array([-0.707,  0.707])
    """
    deviations = centred(values, valid, axis)
    peak = np.max(np.abs(deviations), axis=axis, keepdims=True, initial=0.0)
    scaled = ratio(deviations, peak)  # so that squares cannot overflow
    return scaled / np.sqrt(np.sum(scaled**2, axis=axis, keepdims=True))
