"""Baseline models of the same units, which an encoder has to outperform, and the chance level.

Baselines are fitted on the fit images (train and validation). The hyperparameters (strength of the penalty, block of
the denoiser) are those that predict the validation images best after fitting the train images; the model is then fitted
on both. All units of a session share one choice, because the validation images are too few to choose for each unit.
Each response is weighted by its number of trials; a response that is missing has no weight.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from torch import nn

from v4egg.encoders.registry import BASELINES
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.priors.prior import Prior
from v4egg.recordings.responses import SPLITS, Responses
from v4egg.registry import Options, options_of
from v4egg.seeding import numpy_generator
from v4egg.stats import metrics

NOISE_LEVEL = 0.1  # fraction of the schedule's timesteps; low, so that the features represent the image itself
GRID = 7  # side of the grid to which activations are pooled
PIXELS = 16  # side of the images of the linear-nonlinear model, in pixels
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


@dataclass
class BaselineTask:
    """The data to which a baseline is fitted: a session, and the prior for baselines whose entry requires it.

    Attributes:
        images: all images of the recording, uint8 (image, channel, y, x).
        responses: the responses of the same session.
        prior: the diffusion prior, or None.
        seed: seed of the random permutations.
    """

    images: np.ndarray
    responses: Responses
    prior: Prior | None = None
    seed: int = 0

    @cached_property
    def problem(self) -> Problem:
        """The regression problem of the session."""
        return make_problem(self.responses)

    @cached_property
    def ridge(self) -> tuple[np.ndarray, str]:
        """Predictions and hyperparameters of ridge regression on the prior's features, shared by several baselines.

        Raises:
            V4eggError: there is no prior, or its network is not a UNet2DModel.
        """
        if self.prior is None:
            raise V4eggError("encoders.baselines: ridge and shuffled need the prior; give prior.zarr")
        return ridge(denoiser_features(self.prior, self.images), self.problem)


class BaselineOptions(Options):
    """Base of the options of baselines."""

    @abstractmethod
    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """Fit the baseline to a session.

        Args:
            task: the session and, for baselines that require it, the prior.

        Returns:
            The z-scored predictions (image, unit) of the selected units for all images, and a description of the
            selected hyperparameters, keyed by the name of the fitted model.
        """


class RidgeBaseline(BaselineOptions):
    """Ridge regression on the features of the prior."""

    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """Fit :func:`ridge` to :func:`denoiser_features`; see :meth:`BaselineOptions.predictions`."""
        prediction, chosen = task.ridge
        return prediction, {"ridge": chosen}


class LinearNonlinearBaseline(BaselineOptions):
    """A linear-nonlinear model of the pixels."""

    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """Fit :func:`linear_nonlinear` to the pixels; see :meth:`BaselineOptions.predictions`."""
        pixels = conform(task.images, PIXELS, task.images.shape[1])
        prediction, chosen = linear_nonlinear(_flat(pixels), task.problem)
        return prediction, {"ln": chosen}


class ShuffledBaseline(BaselineOptions):
    """The predictions of ridge assigned to other images: the chance level."""

    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """Permute the predictions of :func:`ridge`, see :func:`shuffled` and :meth:`BaselineOptions.predictions`."""
        prediction, chosen = task.ridge
        return shuffled(prediction, task.responses, task.seed), {"ridge": chosen}


def fit_baselines(
    names: Sequence[str], images: np.ndarray, responses: Responses, *, prior: Prior | None = None, seed: int = 0
) -> xr.Dataset:
    """Fit baselines to a session and predict the responses of the selected units to all its images.

    Args:
        names: names of :data:`v4egg.encoders.registry.BASELINES`.
        images: all images of the recording, uint8 (image, channel, y, x).
        responses: the responses of the same session.
        prior: the diffusion prior, for baselines whose entry requires it.
        seed: seed of the random permutations.

    Returns:
        A dataset of kind ``baselines``: ``prediction`` (baseline, image, unit) in spikes per counting window; its
        attribute ``chosen`` describes the hyperparameters selected on the validation images.

    Raises:
        V4eggError: a name is unknown, the prior is missing, or its network is not a UNet2DModel.
    """
    task = BaselineTask(images, responses, prior, seed)
    results = {name: options_of(BASELINES, name, {}, "baseline").predictions(task) for name in names}
    hyperparameters = {model: text for _, by_model in results.values() for model, text in by_model.items()}
    in_order = [(model, hyperparameters[model]) for model in BASELINES if model in hyperparameters]
    units = [unit for unit, selected in zip(responses.units, responses.selected, strict=True) if selected]
    scale, mean = responses.sd_count[responses.selected], responses.mean_count[responses.selected]
    predictions = np.stack([prediction for prediction, _ in results.values()]) * scale + mean
    coords = {"baseline": list(names), "image": list(responses.image_ids), "unit": units}
    attrs = {"session": responses.session, "chosen": "; ".join(f"{model}: {text}" for model, text in in_order)}
    return xr.Dataset({"prediction": (("baseline", "image", "unit"), predictions)}, coords, attrs)


def make_problem(responses: Responses) -> Problem:
    """The regression problem of the selected units of a session; see :class:`Problem`."""
    return Problem(
        target=responses.zscored()[:, responses.selected].astype("float64"),
        weight=np.isfinite(responses.counts[:, :, responses.selected]).sum(1).astype("float64"),
        train=responses.images_of("train"),
        validation=responses.images_of("validation"),
        fit=responses.images_of("train", "validation"),
    )


@torch.no_grad()
def denoiser_features(prior: Prior, images: np.ndarray, batch: int = 64) -> dict[str, np.ndarray]:
    """Activations of each block of the prior's network, average-pooled to :data:`GRID` x :data:`GRID` positions.

    The network receives the expected noisy image at a low noise level, without the noise itself, so that the features
    are deterministic.

    Args:
        prior: a diffusion prior whose network is a UNet2DModel.
        images: uint8 (image, channel, y, x) of any size.
        batch: number of images per forward pass.

    Returns:
        Activations (image, feature), keyed by the name of the block.

    Raises:
        V4eggError: the prior's network is not a UNet2DModel.
    """
    if not hasattr(prior.unet, "up_blocks"):
        kind = type(prior.unet).__name__
        raise V4eggError(f"encoders.baselines: ridge reads a UNet2DModel, and the prior is a {kind}; leave ridge out")
    blocks = {
        **{f"down block {i}": block for i, block in enumerate(prior.unet.down_blocks)},
        "middle block": prior.unet.mid_block,
        **{f"up block {i}": block for i, block in enumerate(prior.unet.up_blocks)},
    }
    activations: dict[str, list[np.ndarray]] = {name: [] for name in blocks}
    hooks = [block.register_forward_hook(_pooled_into(activations[name])) for name, block in blocks.items()]
    pixels = conform(images, prior.shape[-1], prior.shape[0])
    scheduler = prior.scheduler()
    timestep = int(NOISE_LEVEL * scheduler.config.num_train_timesteps)
    scale = scheduler.alphas_cumprod[timestep].sqrt()
    try:
        for start in range(0, len(pixels), batch):
            prior.predict(scale * (to_float(pixels[start : start + batch]) * 2 - 1), timestep)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: np.concatenate(parts) for name, parts in activations.items()}


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


def shuffled(prediction: np.ndarray, responses: Responses, seed: int) -> np.ndarray:
    """Predictions permuted over images, whose expected correlation with the responses is 0.

    Images are permuted within their split and independently for each unit: a permutation shared by all units would
    shift their mean correlation as a whole, which a confidence interval over units would not reflect.

    Args:
        prediction: (image, unit) of the selected units.
        responses: the responses of the session, with units and splits.
        seed: seed of the permutations.

    Returns:
        The permuted predictions (image, unit).
    """
    units = [unit for unit, selected in zip(responses.units, responses.selected, strict=True) if selected]
    result = prediction.copy()
    for column, unit in enumerate(units):
        for split in SPLITS:
            rows = responses.images_of(split)
            order = numpy_generator(seed, "shuffled", unit, split).permutation(rows)
            result[rows, column] = prediction[order, column]
    return result


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


def _pooled_into(parts: list[np.ndarray]) -> Callable[..., None]:
    """A forward hook that appends the pooled activations (image, feature) of a module to ``parts``."""

    def hook(module: nn.Module, arguments: Any, output: Any) -> None:
        activation = output[0] if isinstance(output, tuple) else output
        parts.append(F.adaptive_avg_pool2d(activation.float(), GRID).flatten(1).cpu().numpy())

    return hook


def _flat(images: np.ndarray) -> np.ndarray:
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
