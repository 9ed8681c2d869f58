"""Fits behind the baselines: ridge regression with cross-validated choices, and a softplus nonlinearity."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from v4egg.recordings.responses import Responses
from v4egg.stats import metrics

STRENGTHS = 10.0 ** np.arange(-2, 4.1, 0.5)  # of the ridge penalty, for features with a mean squared norm of 1
FOLDS = 5  # of the cross-validation that yields the linear predictions to which nonlinearities are fitted
SHARPNESS = (0.5, 1.0, 2.0, 4.0)  # of the softplus, per standard deviation of the linear prediction
THRESHOLDS = np.linspace(-3, 3, 13)  # in standard deviations; with the lowest, the softplus is nearly linear
MIN_GAIN = 1e-3  # positive, so that predictions keep their order even for units that pixels do not predict


@dataclass
class Problem:
    """The regression problem of one session.

    Attributes:
        target: z-scored repeat means of the selected units, float64 (image, unit); NaN where a unit was not recorded.
        weight: number of trials of each image in which each unit was recorded, float64 (image, unit).
        train: positions of the train images.
        validation: positions of the validation images.
        fit: positions of the train and validation images.
    """

    target: np.ndarray
    weight: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    fit: np.ndarray


def make_problem(responses: Responses) -> Problem:
    """The regression problem of the selected units of a session; see :class:`Problem`."""
    return Problem(
        target=responses.zscored()[:, responses.selected].astype("float64"),
        weight=np.isfinite(responses.counts[:, :, responses.selected]).sum(1).astype("float64"),
        train=responses.images_of("train"),
        validation=responses.images_of("validation"),
        fit=responses.images_of("train", "validation"),
    )


def ridge(features: dict[str, np.ndarray], problem: Problem) -> tuple[np.ndarray, str]:
    """Ridge regression on the set of features that predicts the validation images best.

    Args:
        features: sets of features (image, feature), keyed by name.
        problem: the regression problem of the session.

    Returns:
        The z-scored predictions (image, unit) for all images, and a description of the selected set and penalty.
    """
    coordinates = {name: principal_coordinates(values, problem.fit) for name, values in features.items()}
    name, strength = _choose(coordinates, problem)
    x = coordinates[name]
    return _predicted(x, problem, strength, problem.fit, np.arange(len(x))), f"{name}, strength {strength:.2g}"


def linear_nonlinear(features: np.ndarray, problem: Problem) -> tuple[np.ndarray, str]:
    """Ridge regression followed by a softplus nonlinearity for each unit.

    The softplus (see :func:`fit_softplus`) is fitted to cross-validated linear predictions of the fit images, because
    predictions of the images on which the regression was fitted are too accurate.

    Args:
        features: (image, feature).
        problem: the regression problem of the session.

    Returns:
        The z-scored predictions (image, unit) for all images, and a description of the selected penalty.
    """
    x, rows = principal_coordinates(features, problem.fit), problem.fit
    _, strength = _choose({"": x}, problem)
    linear = _predicted(x, problem, strength, rows, np.arange(len(x)))
    held_out = np.empty((len(rows), problem.target.shape[1]))
    for kept, left_out in KFold(FOLDS, shuffle=True, random_state=0).split(rows):
        held_out[left_out] = _predicted(x, problem, strength, rows[kept], rows[left_out])
    curves = fit_softplus(held_out, np.nan_to_num(problem.target[rows]), problem.weight[rows])
    return curves(linear), f"strength {strength:.2g}"


def fit_softplus(linear: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a monotonically increasing softplus to each unit by weighted least squares.

    Sharpness and threshold are searched on the grid of :data:`SHARPNESS` and :data:`THRESHOLDS`; gain and offset have
    a closed form, with the gain at least :data:`MIN_GAIN`.

    Args:
        linear: linear predictions (image, unit).
        target: responses (image, unit).
        weight: weight of each response, (image, unit).

    Returns:
        A function from linear predictions (image, unit) of any images to predicted responses (image, unit).

    Example:
        >>> linear = np.linspace(-2, 2, 50)[:, None]
        >>> curve = fit_softplus(linear, np.maximum(linear, 0), np.ones((50, 1)))
        >>> bool(np.abs(curve(linear) - np.maximum(linear, 0)).max() < 0.2)
        True
    """
    centre, scale = linear.mean(0), np.maximum(linear.std(0), 1e-9)
    weight = weight / np.maximum(weight.sum(0), 1e-12)
    best: dict[str, np.ndarray] = {}
    for sharpness, threshold in ((s, t) for s in SHARPNESS for t in THRESHOLDS):
        curve = np.logaddexp(0, sharpness * ((linear - centre) / scale - threshold))
        mean, target_mean = (weight * curve).sum(0), (weight * target).sum(0)
        spread = np.maximum((weight * (curve - mean) ** 2).sum(0), 1e-12)
        gain = np.maximum((weight * (curve - mean) * (target - target_mean)).sum(0) / spread, MIN_GAIN)
        error = (weight * (target - target_mean - gain * (curve - mean)) ** 2).sum(0)
        candidate = {"error": error, "gain": gain, "offset": target_mean - gain * mean}
        candidate |= {"sharpness": np.full(len(error), sharpness), "threshold": np.full(len(error), threshold)}
        better = error < best.get("error", np.full(len(error), np.inf))
        best = {name: np.where(better, values, best.get(name, values)) for name, values in candidate.items()}

    def apply(values: np.ndarray) -> np.ndarray:
        z = (values - centre) / scale
        return best["offset"] + best["gain"] * np.logaddexp(0, best["sharpness"] * (z - best["threshold"]))

    return apply


def principal_coordinates(features: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Coordinates of z-scored features along the principal axes of the fit images.

    Features are z-scored by the fit images and scaled to a mean squared norm of 1. Ridge regression on the coordinates
    equals ridge regression on these features, but its cost depends on the number of images, not of features.

    Args:
        features: (image, feature).
        fit: positions of the fit images.

    Returns:
        Coordinates (image, axis), float64, with at most as many axes as fit images.

    Example:
        >>> from v4egg.seeding import numpy_generator
        >>> features = numpy_generator(0, "example").normal(size=(20, 1000))
        >>> principal_coordinates(features, np.arange(12)).shape
        (20, 11)
    """
    values = features.astype("float32")
    mean, sd = values[fit].mean(0), values[fit].std(0)
    values = (values - mean) * np.divide(1, sd * np.sqrt(sd.size), out=np.zeros_like(sd), where=sd > 1e-6 * sd.max())
    products = (values @ values[fit].T).astype("float64")
    variances, axes = np.linalg.eigh(products[fit])
    nonzero = variances > 1e-6 * variances[-1]
    return products @ (axes[:, nonzero] / np.sqrt(variances[nonzero]))


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype("float32") / 255


def _predicted(x: np.ndarray, problem: Problem, strength: float, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Ridge regression of the images ``rows``, as predictions (image, unit) for the images ``at``.

    Units with the same weights share a regression, usually all; a unit without a response to ``rows`` gets the mean, 0.
    """
    weights, group = np.unique(problem.weight[rows], axis=1, return_inverse=True)
    target, result = np.nan_to_num(problem.target[rows]), np.zeros((len(at), problem.target.shape[1]))
    for pattern in np.flatnonzero(weights.any(0)):
        units = np.flatnonzero(group.ravel() == pattern)
        fitted = Ridge(strength).fit(x[rows], target[:, units], sample_weight=weights[:, pattern])
        result[:, units] = fitted.predict(x[at]).reshape(len(at), -1)
    return result


def _choose(coordinates: dict[str, np.ndarray], problem: Problem) -> tuple[str, float]:
    """The set of features and the penalty strength with the highest validation correlation.

    Here what is missing counts as the mean and all units share a regression: one for each unit and choice would take
    very long, and the choice is for all units together.
    """
    shared = np.broadcast_to(problem.weight.max(1, keepdims=True), problem.weight.shape)
    whole = replace(problem, weight=shared)
    scores = {(name, a): _validation(x, whole, a) for name, x in coordinates.items() for a in STRENGTHS}
    return max(scores, key=lambda choice: scores[choice])


def _validation(x: np.ndarray, problem: Problem, strength: float) -> float:
    """Mean correlation over units on the validation images after fitting the train images.

    The correlation of a unit with constant predictions counts as 0.
    """
    rows = problem.validation
    predicted = _predicted(x, problem, strength, problem.train, rows)
    return float(np.nan_to_num(metrics.correlation(predicted, problem.target[rows])).mean())
