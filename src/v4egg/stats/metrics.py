"""Measures of how reliable responses are and how well they are predicted.

Shapes are those of the stores: ``counts`` (image, repeat, unit), NaN where an image was not repeated (the number of
repeats may differ between images and units); ``prediction`` (image, unit); results (unit,). All functions are
vectorised over units and compute in float64. NaN and infinite values count as missing. A result that is not defined
(too few images, too few repeats, a constant unit) is NaN; only wrong shapes raise :class:`ValueError`. A ``key`` is a
tuple of printable parts that identifies the random draw, see :mod:`v4egg.seeding`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from v4egg.seeding import numpy_generator
from v4egg.stats.missing import centred, floats, mean, ratio, standardised

MIN_IMAGES = 3  # of which a correlation says something: that of two is 1 or -1


class _Repeats(NamedTuple):
    """Statistics over repeats, each (image, unit): number of finite trials, their mean, their variance (ddof 1)."""

    n: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def correlation(x: ArrayLike, y: ArrayLike, axis: int = 0) -> np.ndarray:
    """Pearson correlation of two arrays along an axis.

    Args:
        x: values of any shape.
        y: values that broadcast against ``x``.
        axis: the axis of the pairs.

    Returns:
        The broadcast shape without ``axis``. Pairs with a missing value are left out; NaN if fewer than two pairs
        remain or if either side is constant.

    Example:
        >>> correlation([1, 2, 3, np.nan], [1, 3, 5, 0]).round(6)
        np.float64(1.0)
    """
    first, second = np.broadcast_arrays(floats(x), floats(y))
    paired = np.isfinite(first) & np.isfinite(second)
    products = standardised(first, paired, axis) * standardised(second, paired, axis)
    return np.where(paired.any(axis), np.clip(products.sum(axis), -1.0, 1.0), np.nan)


def correlation_to_average(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Pearson correlation over images between the repeat mean and the prediction.

    Args:
        counts: (image, repeat, unit). One finite trial of an image is enough; images without one are left out.
        prediction: (image, unit).

    Returns:
        (unit,).

    Example:
        >>> correlation_to_average([[[1.0], [3.0]], [[4.0], [np.nan]], [[5.0], [7.0]]], [[2.0], [4.0], [6.0]])
        array([1.])
    """
    trials, predicted = _counts_and_prediction(counts, prediction)
    return correlation(_over_repeats(trials).mean, predicted)


def single_trial_correlation(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Pearson correlation between single trials and the prediction, pooled over the trials of all images.

    Args:
        counts: (image, repeat, unit). An image has the weight of its number of finite trials.
        prediction: (image, unit), the same for all trials of an image.

    Returns:
        (unit,).

    Example:
        >>> counts = np.array([[[1.0], [2.0]], [[3.0], [5.0]], [[8.0], [6.0]]])  # 3 images, 2 repeats, 1 unit
        >>> prediction = np.array([[1.0], [4.0], [7.0]])
        >>> single_trial_correlation(counts, prediction).round(3)
        array([0.932])
    """
    trials, predicted = _counts_and_prediction(counts, prediction)
    return correlation(_pooled(trials), np.repeat(predicted, trials.shape[1], axis=0))


def measurable(counts: ArrayLike, trials: int = 1) -> np.ndarray:
    """Tell which units have responses to enough images, of which a correlation says something: two always agree.

    Args:
        counts: (image, repeat, unit).
        trials: finite trials that an image needs to count.

    Returns:
        bool (unit,), whether :data:`MIN_IMAGES` images have as many trials.

    Example:
        >>> measurable([[[1.0, np.nan]], [[2.0, 1.0]], [[3.0, 2.0]]]).tolist()
        [True, False]
    """
    return (np.isfinite(_counts(counts)).sum(1) >= trials).sum(0) >= MIN_IMAGES


def explainable_variance(counts: ArrayLike) -> np.ndarray:
    """Fraction of the single-trial variance that is explained by the image: (total - noise) / total.

    ``total`` is the variance (ddof 1) over all trials, ``noise`` the variance over repeats (ddof 1) averaged over
    images. Where the number of repeats differs, each image is weighted by its trials in both, which keeps
    total - noise unbiased.

    Args:
        counts: (image, repeat, unit). Images with fewer than two finite trials are left out.

    Returns:
        (unit,), at most 1, and below 0 by chance for a unit that no image drives. NaN where no image has two trials or
        nothing varies.

    Source:
        Cadena et al. 2019 (PLoS Comput Biol 15:e1006897); equal numbers of repeats give their formula.

    Example:
        >>> counts = np.array([[[1.0], [2.0]], [[3.0], [5.0]], [[8.0], [6.0]]])  # 3 images, 2 repeats, 1 unit
        >>> explainable_variance(counts).round(3)
        array([0.785])
    """
    total, noise, _ = _total_and_noise(_counts(counts))
    return ratio(total - noise, total)


def feve(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Fraction of explainable variance explained (FEVE): 1 - (MSE - noise) / (total - noise).

    MSE is the mean squared error over single trials; total and noise are those of :func:`explainable_variance`. All
    three use the trials of images that have a prediction and at least two finite trials.

    Args:
        counts: (image, repeat, unit).
        prediction: (image, unit) in spikes per window; its offset and gain matter.

    Returns:
        (unit,). The true mean response has the expectation 1, so that single values can exceed 1; a constant prediction
        has about 0 or less. NaN where total <= noise, that is, where there is nothing to explain.

    Source:
        Cadena et al. 2019 (PLoS Comput Biol 15:e1006897).

    Example:
        >>> counts = np.random.default_rng(0).poisson([[[2.0]], [[5.0]], [[9.0]]], (3, 500, 1))
        >>> float(feve(counts, [[2.0], [5.0], [9.0]])[0].round(2))
        1.0
    """
    trials, predicted = _counts_and_prediction(counts, prediction)
    trials = np.where(np.isfinite(predicted)[:, None], trials, np.nan)
    total, noise, valid = _total_and_noise(trials)
    mse = mean(_pooled((trials - predicted[:, None]) ** 2), _pooled(valid), 0)
    return 1.0 - ratio(mse - noise, total - noise)


def r2_er(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Noise-corrected squared correlation between the prediction and the expected response.

    With x the centred prediction, y the centred repeat mean, m images, n_i trials of image i and s2 the trial variance
    (ddof 1, averaged over the images with at least two trials), the noise variance of y_i is v_i = s2 / n_i and

        r2_ER = ((sum x y)^2 - sum x^2 v) / (sum x^2 sum y^2 - (m - 1) mean(v) sum x^2).

    Numerator and denominator are unbiased estimates of those of the noise-free squared correlation if all images share
    one trial variance. For Poisson-like counts take square roots first, which makes the variances nearly equal.

    Args:
        counts: (image, repeat, unit). An image with a single trial is used with the s2 of the others.
        prediction: (image, unit); its gain and offset do not matter.

    Returns:
        (unit,), possibly below 0 or above 1. NaN where the denominator is not positive (no signal above the noise), the
        prediction is constant, or no image has two trials.

    Source:
        Pospisil & Bair 2021 (PLoS Comput Biol 17:e1009212), whose formula holds for equal numbers of repeats; the one
        for unequal numbers follows from the same derivation.

    Example:
        >>> counts = np.array([[[1.0], [2.0]], [[3.0], [5.0]], [[8.0], [6.0]]])  # 3 images, 2 repeats, 1 unit
        >>> prediction = np.array([[1.0], [4.0], [7.0]])
        >>> r2_er(counts, prediction).round(3)
        array([1.052])
    """
    trials, predicted = _counts_and_prediction(counts, prediction)
    repeats = _over_repeats(np.where(np.isfinite(predicted)[:, None], trials, np.nan))
    valid = repeats.n > 0
    x, y = standardised(predicted, valid, 0), centred(repeats.mean, valid, 0)
    m, noise = valid.sum(0), _noise_of_means(repeats)
    numerator = np.sum(x * y, 0) ** 2 - np.sum(x**2 * noise, 0)
    denominator = np.sum(y**2, 0) - (m - 1) * ratio(noise.sum(0), m)  # sum x^2 is 1
    return ratio(numerator, np.where(np.isnan(x).any(0), np.nan, denominator))


def signal_to_noise(counts: ArrayLike) -> np.ndarray:
    """Variance of the expected response over images divided by the trial variance.

    The estimate is (var(y) - (m - 1) / m mean(s2 / n_i)) / s2, where y is the repeat mean of m images (var with
    ddof 0), n_i the number of trials of image i, and s2 the trial variance (ddof 1) averaged over the images with at
    least two trials. A usual criterion is 0.15.

    Args:
        counts: (image, repeat, unit).

    Returns:
        (unit,), below 0 by chance where there is no signal. NaN where no image has two trials, and where trials never
        differ, because the ratio is then not defined.

    Source:
        Pospisil & Bair 2021 (PLoS Comput Biol 17:e1009212).

    Example:
        >>> counts = np.array([[[1.0], [2.0]], [[3.0], [5.0]], [[8.0], [6.0]]])  # 3 images, 2 repeats, 1 unit
        >>> signal_to_noise(counts).round(3)
        array([3.037])
    """
    repeats = _over_repeats(_counts(counts))
    valid = repeats.n > 0
    m = valid.sum(0)
    observed = ratio(np.sum(centred(repeats.mean, valid, 0) ** 2, 0), m)
    expected = ratio(m - 1, m) * ratio(_noise_of_means(repeats).sum(0), m)
    return ratio(observed - expected, _trial_variance(repeats))


def split_half_reliability(counts: ArrayLike, key: tuple[object, ...], n_splits: int = 50) -> np.ndarray:
    """Reliability of the repeat mean, from the correlation between random halves of the trials.

    Each image's trials are split at random (an odd one goes to the second half), the means of the halves are correlated
    over images, and the correlations are averaged over the splits and corrected to the full number of trials by
    :func:`spearman_brown`. Where the number of repeats differs, the result holds for about their average number.

    Args:
        counts: (image, repeat, unit). Images with fewer than two finite trials are left out.
        key: identifies the random draw; a unit's result does not depend on which other units are given.
        n_splits: number of random splits.

    Returns:
        (unit,), at most 1. NaN for a unit with two trials of fewer than :data:`MIN_IMAGES` images, and where halves
        never vary.

    Example:
        >>> counts = np.random.default_rng(0).poisson([[[1.0]], [[5.0]], [[9.0]]], (3, 20, 1))
        >>> bool(split_half_reliability(counts, ("example",))[0] > 0.95)
        True
    """
    trials = _counts(counts)
    finite = np.isfinite(trials)
    filled = np.nan_to_num(trials)
    if (finite == finite[..., :1]).all():  # the same pattern for all units, the usual case: rank the trials once
        finite = finite[..., :1]
    n, total = finite.sum(1), filled.sum(1)
    repeated, size = n >= 2, n // 2
    generator = numpy_generator(*key)
    correlations = np.empty((n_splits, trials.shape[2]))
    for split in range(n_splits):
        draw = np.where(finite, generator.random(trials.shape[:2])[..., None], np.inf)
        half = (draw.argsort(1).argsort(1) < size[:, None]) & finite
        first = np.sum(filled * half, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [np.where(repeated, mean, np.nan) for mean in (first / size, (total - first) / (n - size))]
        correlations[split] = correlation(means[0], means[1])
    reliability = spearman_brown(mean(correlations, np.isfinite(correlations), 0))
    return np.where(measurable(trials, 2), reliability, np.nan)


def spearman_brown(reliability: ArrayLike, factor: float = 2.0) -> np.ndarray:
    """Reliability of a measurement that is longer by a factor f: f r / (1 + (f - 1) r).

    Args:
        reliability: r of any shape.
        factor: f.

    Returns:
        The shape of ``reliability``; NaN where the formula is not defined.

    Source:
        Spearman 1910, Brown 1910 (Br J Psychol 3:271-322).

    Example:
        >>> spearman_brown([0.5, 1.0]).round(4)
        array([0.6667, 1.    ])
    """
    values = floats(reliability)
    denominator = 1 + (factor - 1) * values
    return ratio(factor * values, np.where(denominator > 0, denominator, np.nan))


def leave_one_out_oracle(counts: ArrayLike) -> np.ndarray:
    """Correlation between each trial and the mean of the image's other trials, pooled over all trials.

    This is the single-trial correlation of the oracle that predicts a trial by the image's other repeats. A model can
    exceed it, because the mean of few repeats is noisy.

    Args:
        counts: (image, repeat, unit). Images with fewer than two finite trials are left out.

    Returns:
        (unit,).

    Source:
        Walker et al. 2019 (Nat Neurosci 22:2060).

    Example:
        >>> counts = np.array([[[1.0], [2.0]], [[3.0], [5.0]], [[8.0], [6.0]]])  # 3 images, 2 repeats, 1 unit
        >>> leave_one_out_oracle(counts).round(3)
        array([0.742])
    """
    trials = _counts(counts)
    finite, filled = np.isfinite(trials), np.nan_to_num(trials)
    n_others = finite.sum(1, keepdims=True) - finite
    sum_others = filled.sum(1, keepdims=True) - filled
    return correlation(_pooled(trials), _pooled(ratio(sum_others, n_others)))


def _counts(counts: ArrayLike) -> np.ndarray:
    values = floats(counts)
    if values.ndim != 3:
        raise ValueError(f"counts have shape {values.shape}, expected (image, repeat, unit)")
    return np.where(np.isfinite(values), values, np.nan)


def _counts_and_prediction(counts: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    trials, predicted = _counts(counts), floats(prediction)
    if predicted.shape != trials.shape[::2]:
        raise ValueError(f"prediction of shape {predicted.shape} (image, unit) does not fit counts {trials.shape}")
    return trials, np.where(np.isfinite(predicted), predicted, np.nan)


def _pooled(counts: np.ndarray) -> np.ndarray:
    """(image, repeat, unit) -> (trial, unit)."""
    return counts.reshape(counts.shape[0] * counts.shape[1], counts.shape[2])


def _over_repeats(counts: np.ndarray) -> _Repeats:
    finite = np.isfinite(counts)
    n = finite.sum(1)
    squares = np.sum(centred(counts, finite, 1) ** 2, axis=1)
    return _Repeats(n, mean(counts, finite, 1), ratio(squares, n - 1))


def _trial_variance(repeats: _Repeats) -> np.ndarray:
    """(unit,) trial variance averaged over the images with at least two trials."""
    return mean(repeats.variance, repeats.n >= 2, 0)


def _noise_of_means(repeats: _Repeats) -> np.ndarray:
    """(image, unit) noise variance of each repeat mean, 0 where an image has no trial."""
    return np.where(repeats.n > 0, _trial_variance(repeats) / np.maximum(repeats.n, 1), 0.0)


def _total_and_noise(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total and noise variance (unit,), and which trials they use (image, repeat, unit)."""
    repeats = _over_repeats(counts)
    repeated = repeats.n >= 2
    valid = np.isfinite(counts) & repeated[:, None]
    n = valid.sum((0, 1))
    total = ratio(np.sum(centred(_pooled(counts), _pooled(valid), 0) ** 2, axis=0), n - 1)
    noise = ratio(np.sum(repeats.n * repeats.variance, axis=0, where=repeated), n)
    return total, noise, valid
