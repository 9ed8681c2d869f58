"""How well responses are measured and predicted: NaN-aware, vectorised over units, float64 inside.

Shapes are those of the stores: ``counts`` (image, repeat, unit), NaN where an image was not repeated (repeats may be
ragged, by image and by unit); ``prediction`` (image, unit); results (unit,). What cannot be computed is NaN, never an
exception: too few images, too few repeats, a constant unit. Infinite values count as missing. Wrong shapes raise
``ValueError``. A ``key`` is a tuple of printable parts that names the random draw, see :mod:`v4egg.seeding`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from v4egg.seeding import numpy_generator

CONSTANT = 1e-13  # relative spread below which rounding alone makes a series vary, as in scipy.stats.pearsonr


class _Repeats(NamedTuple):
    """Statistics over repeats, each (image, unit): number of finite trials, their mean, their variance (ddof 1)."""

    n: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def correlation(x: ArrayLike, y: ArrayLike, axis: int = 0) -> np.ndarray:
    """Pearson correlation of ``x`` and ``y`` along ``axis``; the two are broadcast against each other.

    Pairs with a missing member are left out. NaN where fewer than two pairs remain or either side is constant.
    """
    x, y = np.broadcast_arrays(_floats(x), _floats(y))
    paired = np.isfinite(x) & np.isfinite(y)
    products = _standardised(x, paired, axis) * _standardised(y, paired, axis)
    return np.where(paired.any(axis), np.clip(products.sum(axis), -1.0, 1.0), np.nan)


def correlation_to_average(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Pearson correlation (unit,) over images of the repeat mean with the prediction.

    ``counts`` (image, repeat, unit), ``prediction`` (image, unit). Images without a finite trial are left out; one
    trial is enough.
    """
    counts, prediction = _counts_and_prediction(counts, prediction)
    return correlation(_over_repeats(counts).mean, prediction)


def single_trial_correlation(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Pearson correlation (unit,) of single trials with the prediction, pooled over the trials of all images.

    ``counts`` (image, repeat, unit); ``prediction`` (image, unit) is that of each of the image's trials, so an image
    weighs by its number of finite trials.
    """
    counts, prediction = _counts_and_prediction(counts, prediction)
    return correlation(_pooled(counts), np.repeat(prediction, counts.shape[1], axis=0))


def explainable_variance(counts: ArrayLike) -> np.ndarray:
    """Fraction of the single-trial variance that the image accounts for: (total - noise) / total.

    ``total`` is the variance (ddof 1) over all trials; ``noise`` the variance over repeats (ddof 1), averaged over
    images. With ragged repeats images weigh by their trials, as they do in the total, which keeps total - noise
    unbiased. Images with fewer than two finite trials are left out of both.

    ``counts`` (image, repeat, unit). The result (unit,) is at most 1, and below 0 by chance for a unit that no image
    drives. NaN where no image has two trials or nothing varies.

    Source: Cadena et al. 2019 (PLoS Comput Biol 15:e1006897); equal repeats give their formula.
    """
    total, noise, _ = _total_and_noise(_counts(counts))
    return _ratio(total - noise, total)


def feve(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Fraction of explainable variance explained: 1 - (MSE - noise) / (total - noise).

    MSE is the mean squared error over single trials; total and noise are those of :func:`explainable_variance`, and
    all three use the same trials: those of images with a prediction and at least two finite trials.

    ``counts`` (image, repeat, unit); ``prediction`` (image, unit) in spikes per window: offset and gain count.
    The result (unit,) is 1 for the true mean response on average over the noise (so it can exceed 1), about 0 or less
    for a constant. NaN where total <= noise: there is nothing to explain.

    Source: Cadena et al. 2019 (PLoS Comput Biol 15:e1006897).
    """
    counts, prediction = _counts_and_prediction(counts, prediction)
    counts = np.where(np.isfinite(prediction)[:, None], counts, np.nan)
    total, noise, used = _total_and_noise(counts)
    mse = _mean(_pooled((counts - prediction[:, None]) ** 2), _pooled(used), 0)
    return 1.0 - _ratio(mse - noise, total - noise)


def r2_er(counts: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Noise-corrected squared correlation of the prediction with the expected response.

    With x the centred prediction, y the centred repeat mean, m images, n_i trials of image i and s2 the trial variance
    (ddof 1, averaged over the images with at least two trials), the noise variance of y_i is v_i = s2 / n_i and

        r2_ER = ((sum x y)^2 - sum x^2 v) / (sum x^2 sum y^2 - (m - 1) mean(v) sum x^2),

    numerator and denominator being unbiased for those of the noise-free squared correlation when all images share one
    trial variance. Equal n give the published formula. For Poisson-like counts take square roots first: that makes
    the trial variance nearly equal. An image with a single trial takes part with the s2 of the others.

    ``counts`` (image, repeat, unit); ``prediction`` (image, unit), any gain and offset of it give the same result. The
    result (unit,) can fall below 0 and above 1. NaN where the denominator is not positive (no signal above the noise),
    the prediction is constant, or no image has two trials.

    Source: Pospisil & Bair 2021 (PLoS Comput Biol 17:e1009212), ragged repeats by the same derivation.
    """
    counts, prediction = _counts_and_prediction(counts, prediction)
    repeats = _over_repeats(np.where(np.isfinite(prediction)[:, None], counts, np.nan))
    used = repeats.n > 0
    x, y = _standardised(prediction, used, 0), _centred(repeats.mean, used, 0)
    m, noise = used.sum(0), _noise_of_means(repeats)
    numerator = np.sum(x * y, 0) ** 2 - np.sum(x**2 * noise, 0)
    denominator = np.sum(y**2, 0) - (m - 1) * _ratio(noise.sum(0), m)  # sum x^2 is 1
    return _ratio(numerator, np.where(np.isnan(x).any(0), np.nan, denominator))


def signal_to_noise(counts: ArrayLike) -> np.ndarray:
    """Variance of the expected response over images, over the trial variance: (var(y) - (m-1)/m mean(s2/n_i)) / s2.

    y is the repeat mean of m images (var with ddof 0), n_i the trials of image i, s2 the trial variance (ddof 1)
    averaged over the images with at least two trials. 0.15 is a usual cut.

    ``counts`` (image, repeat, unit). The result (unit,) is below 0 by chance where there is no signal. NaN where no
    image has two trials, and where trials never differ (no noise, so the ratio is undefined).

    Source: Pospisil & Bair 2021 (PLoS Comput Biol 17:e1009212).
    """
    repeats = _over_repeats(_counts(counts))
    used = repeats.n > 0
    m = used.sum(0)
    observed = _ratio(np.sum(_centred(repeats.mean, used, 0) ** 2, 0), m)
    expected = _ratio(m - 1, m) * _ratio(_noise_of_means(repeats).sum(0), m)
    return _ratio(observed - expected, _trial_variance(repeats))


def split_half_reliability(counts: ArrayLike, key: tuple, n_splits: int = 50) -> np.ndarray:
    """Reliability of the repeat mean: correlation over images of random halves of the trials, for all trials' length.

    Each image's trials are split at random (an odd one goes to the second half), the half means are correlated over
    images, the correlations averaged over ``n_splits`` splits and corrected by :func:`spearman_brown`. With ragged
    repeats this is the reliability at about the average number of repeats.

    Args:
        counts: (image, repeat, unit). Images with fewer than two finite trials are left out.
        key: names the random draw; a unit's result does not depend on which other units are given.
        n_splits: number of random splits.

    Returns:
        (unit,), at most 1. NaN where no split has two images and varying halves.
    """
    counts = _counts(counts)
    finite = np.isfinite(counts)
    filled = np.nan_to_num(counts)
    if (finite == finite[..., :1]).all():  # one pattern for all units, the usual case: rank the trials once
        finite = finite[..., :1]
    n, total = finite.sum(1), filled.sum(1)
    repeated, size = n >= 2, n // 2
    generator = numpy_generator(*key)
    correlations = np.empty((n_splits, counts.shape[2]))
    for split in range(n_splits):
        draw = np.where(finite, generator.random(counts.shape[:2])[..., None], np.inf)
        half = (draw.argsort(1).argsort(1) < size[:, None]) & finite
        first = np.sum(filled * half, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = first / size, (total - first) / (n - size)
        correlations[split] = correlation(*(np.where(repeated, mean, np.nan) for mean in means))
    return spearman_brown(_mean(correlations, np.isfinite(correlations), 0))


def spearman_brown(reliability: ArrayLike, factor: float = 2.0) -> np.ndarray:
    """Reliability of a measurement ``factor`` times as long: f r / (1 + (f - 1) r). NaN where that is undefined.

    Source: Spearman 1910, Brown 1910 (Br J Psychol 3:271-322).
    """
    reliability = _floats(reliability)
    lengthened = 1 + (factor - 1) * reliability
    return _ratio(factor * reliability, np.where(lengthened > 0, lengthened, np.nan))


def leave_one_out_oracle(counts: ArrayLike) -> np.ndarray:
    """Correlation of each trial with the mean of the image's other trials, pooled over all trials.

    The single-trial correlation of a predictor that knows the other repeats: a model can exceed it. ``counts`` (image,
    repeat, unit); images with fewer than two finite trials are left out. The result is (unit,).

    Source: Walker et al. 2019 (Nat Neurosci 22:2060).
    """
    counts = _counts(counts)
    finite, filled = np.isfinite(counts), np.nan_to_num(counts)
    others = finite.sum(1, keepdims=True) - finite
    rest = filled.sum(1, keepdims=True) - filled
    return correlation(_pooled(counts), _pooled(_ratio(rest, others)))


def normalized_activation(
    activation: ArrayLike, mean_natural: ArrayLike, model_selected_natural: ArrayLike
) -> np.ndarray:
    """Activation on a scale where 0 is the mean natural image and 1 the best one; shapes broadcast.

    NaN where the best natural image does not exceed the mean under this judge: the scale has no direction there.
    """
    activation, mean_natural, model_selected_natural = map(_floats, (activation, mean_natural, model_selected_natural))
    span = model_selected_natural - mean_natural
    return _ratio(activation - mean_natural, np.where(span > 0, span, np.nan))


def evolved_over_natural(evolved: ArrayLike, best_natural: ArrayLike) -> np.ndarray:
    """Response to the best evolved image over that to the best natural one; NaN where the natural one is not above 0.

    XDream (Xiao & Kreiman, PLoS Comput Biol 2020) calls it relative activation. Shapes broadcast.
    """
    return _ratio(_floats(evolved), _floats(best_natural))


def fraction_of_gradient_ascent(activation: ArrayLike, gradient_ascent: ArrayLike) -> np.ndarray:
    """Activation over that of the images that gradient ascent makes with the same generators; shapes broadcast.

    NaN where gradient ascent does not reach an activation above 0.
    """
    return _ratio(activation, gradient_ascent)


def response_retained(response: ArrayLike, before: ArrayLike) -> np.ndarray:
    """Share of a response that remains after a change, such as an ablation; NaN where it was not above 0 before.

    Shapes broadcast.
    """
    return _ratio(response, before)


def _floats(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _counts(counts: ArrayLike) -> np.ndarray:
    counts = _floats(counts)
    if counts.ndim != 3:
        raise ValueError(f"counts have shape {counts.shape}, expected (image, repeat, unit)")
    return np.where(np.isfinite(counts), counts, np.nan)


def _counts_and_prediction(counts: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    counts, prediction = _counts(counts), _floats(prediction)
    if prediction.shape != counts.shape[::2]:
        raise ValueError(f"prediction of shape {prediction.shape} (image, unit) does not fit counts {counts.shape}")
    return counts, np.where(np.isfinite(prediction), prediction, np.nan)


def _pooled(counts: np.ndarray) -> np.ndarray:
    """(image, repeat, unit) -> (trial, unit)."""
    return counts.reshape(counts.shape[0] * counts.shape[1], counts.shape[2])


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """The quotient where the denominator is positive, else NaN."""
    positive = np.asarray(denominator) > 0
    return np.divide(
        numerator, denominator, out=np.full(np.broadcast(numerator, denominator).shape, np.nan), where=positive
    )


def _mean(values: np.ndarray, used: np.ndarray, axis: int, keepdims: bool = False) -> np.ndarray:
    """Mean over the ``used`` values, NaN where there is none (without numpy's warnings)."""
    total = np.sum(values, axis=axis, where=used, keepdims=keepdims)
    return _ratio(total, np.sum(used, axis=axis, keepdims=keepdims))


def _centred(values: np.ndarray, used: np.ndarray, axis: int) -> np.ndarray:
    """Deviations from the mean of the ``used`` values, 0 elsewhere, and exactly 0 where only rounding varies."""
    centred = np.where(used, values - _mean(values, used, axis, keepdims=True), 0.0)
    peak = np.max(np.abs(centred), axis=axis, keepdims=True, initial=0.0)
    magnitude = np.max(np.abs(values), axis=axis, keepdims=True, where=used, initial=0.0)
    return np.where(peak > CONSTANT * magnitude, centred, 0.0)


def _standardised(values: np.ndarray, used: np.ndarray, axis: int) -> np.ndarray:
    """Centred values of unit L2 norm along ``axis``, 0 where not ``used``; NaN where the used values are constant."""
    centred = _centred(values, used, axis)
    centred = _ratio(centred, np.max(np.abs(centred), axis=axis, keepdims=True, initial=0.0))  # squares cannot overflow
    return centred / np.sqrt(np.sum(centred**2, axis=axis, keepdims=True))


def _over_repeats(counts: np.ndarray) -> _Repeats:
    finite = np.isfinite(counts)
    n = finite.sum(1)
    squares = np.sum(_centred(counts, finite, 1) ** 2, axis=1)
    return _Repeats(n, _mean(counts, finite, 1), _ratio(squares, n - 1))


def _trial_variance(repeats: _Repeats) -> np.ndarray:
    """(unit,) trial variance averaged over the images with at least two trials."""
    return _mean(repeats.variance, repeats.n >= 2, 0)


def _noise_of_means(repeats: _Repeats) -> np.ndarray:
    """(image, unit) noise variance of each repeat mean, 0 where an image has no trial."""
    return np.where(repeats.n > 0, _trial_variance(repeats) / np.maximum(repeats.n, 1), 0.0)


def _total_and_noise(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total and noise variance (unit,), and which trials they use (image, repeat, unit)."""
    repeats = _over_repeats(counts)
    repeated = repeats.n >= 2
    used = np.isfinite(counts) & repeated[:, None]
    n = used.sum((0, 1))
    total = _ratio(np.sum(_centred(_pooled(counts), _pooled(used), 0) ** 2, axis=0), n - 1)
    noise = _ratio(np.sum(repeats.n * repeats.variance, axis=0, where=repeated), n)
    return total, noise, used
