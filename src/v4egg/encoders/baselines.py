"""Simpler models of the same units: what an encoder has to beat, and what chance gives.

Everything is fitted on fit images: the choices (strength of the penalty, block of the denoiser) are those that predict
the validation images best after fitting the train images; the model is then fitted on both. One choice holds for all
units of a session, since the validation images are too few for a choice a unit. Images weigh by their trials.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from torch import nn

from v4egg.encoders.registry import BASELINES
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.priors.prior import Prior
from v4egg.recordings.responses import SPLITS, Responses
from v4egg.registry import Options, options_of
from v4egg.seeding import numpy_generator
from v4egg.stats import metrics

NOISE_LEVEL = 0.1  # of the schedule's timesteps: little noise, so that the features are those of the image
GRID = 7  # positions a side that activations are pooled to
PIXELS = 16  # pixels a side that the linear-nonlinear model sees
STRENGTHS = 10.0 ** np.arange(-2, 4.1, 0.5)  # of the ridge penalty, for features of mean squared norm 1
FOLDS = 5  # of the linear predictions to which nonlinearities are fitted
SHARPNESS = (0.5, 1.0, 2.0, 4.0)  # of the softplus, a sd of the linear prediction
THRESHOLDS = np.linspace(-3, 3, 13)  # in sd of the linear prediction; the lowest are nearly the identity
MIN_GAIN = 1e-3  # a unit that pixels do not predict keeps the order of its linear prediction, and hardly any gain


@dataclass
class Problem:
    """What a baseline is fitted to, for one session.

    Attributes:
        target: float64 (image, unit), z-scored repeat means of the selected units; 0, the mean, where missing.
        weight: (image,), number of trials.
        train, fit: positions of the train images, and of those with the validation images.
        validation: positions of the validation images.
    """

    target: np.ndarray
    weight: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    fit: np.ndarray


@dataclass
class BaselineTask:
    """What a baseline is given: a session, and the prior where its entry requires it.

    Attributes:
        images: uint8 (image, c, y, x), those of the recording.
        responses: of the same session.
        prior: the diffusion prior, or None.
        seed: of what is drawn.
    """

    images: np.ndarray
    responses: Responses
    prior: Prior | None = None
    seed: int = 0

    @cached_property
    def problem(self) -> Problem:
        """What is fitted."""
        return make_problem(self.responses)

    @cached_property
    def ridge(self) -> tuple[np.ndarray, str]:
        """Ridge regression on the activations of the prior's network, which several baselines start from."""
        if self.prior is None:
            raise V4eggError("encoders.baselines: ridge and shuffled need the prior; give prior.zarr")
        return ridge(denoiser_features(self.prior, self.images), self.problem)


class BaselineOptions(Options):
    """Base of the baselines; none has an option so far."""

    @abstractmethod
    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """z-scored predictions (image, unit) of the selected units, and what validation chose by what was fitted."""


class RidgeBaseline(BaselineOptions):
    """Ridge regression on the features of the prior."""

    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """See :func:`ridge` and :func:`denoiser_features`."""
        prediction, chosen = task.ridge
        return prediction, {"ridge": chosen}


class LinearNonlinearBaseline(BaselineOptions):
    """A linear-nonlinear model of the pixels."""

    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """See :func:`linear_nonlinear`."""
        pixels = conform(task.images, PIXELS, task.images.shape[1])
        prediction, chosen = linear_nonlinear(_flat(pixels), task.problem)
        return prediction, {"ln": chosen}


class ShuffledBaseline(BaselineOptions):
    """Predictions of ridge given to wrong images: what chance gives."""

    def predictions(self, task: BaselineTask) -> tuple[np.ndarray, dict[str, str]]:
        """See :func:`shuffled`."""
        prediction, chosen = task.ridge
        return shuffled(prediction, task.responses, task.seed), {"ridge": chosen}


def fit_baselines(
    names: Sequence[str], images: np.ndarray, responses: Responses, *, prior: Prior | None = None, seed: int = 0
) -> xr.Dataset:
    """Predictions of the selected units for all images of a session, as a dataset of kind ``baselines``.

    Args:
        names: of :data:`v4egg.encoders.registry.BASELINES`.
        images: uint8 (n, c, y, x), those of the recording.
        responses: of the same session.
        prior: for those whose entry requires it.
        seed: of what is drawn.

    Returns:
        ``prediction`` (baseline, image, unit) in spikes per window; the attribute ``chosen`` says what
        validation chose.

    Raises:
        V4eggError: a name is unknown, or the prior is missing.
    """
    task = BaselineTask(images, responses, prior, seed)
    found = {name: options_of(BASELINES, name, {}, "baseline").predictions(task) for name in names}
    fitted = {name: what for _, chosen in found.values() for name, what in chosen.items()}
    chosen = {name: fitted[name] for name in BASELINES if name in fitted}
    units = [unit for unit, selected in zip(responses.units, responses.selected, strict=True) if selected]
    scale, mean = responses.sd_count[responses.selected], responses.mean_count[responses.selected]
    predictions = np.stack([prediction for prediction, _ in found.values()]) * scale + mean
    coords = {"baseline": list(names), "image": list(responses.image_ids), "unit": units}
    attrs = {"session": responses.session, "chosen": "; ".join(f"{name}: {what}" for name, what in chosen.items())}
    return xr.Dataset({"prediction": (("baseline", "image", "unit"), predictions)}, coords, attrs)


def make_problem(responses: Responses) -> Problem:
    """The selected units of a session as a problem of regression."""
    return Problem(
        target=np.nan_to_num(responses.zscored()[:, responses.selected].astype("float64")),
        weight=np.isfinite(responses.counts).any(2).sum(1).astype("float64"),
        train=responses.images_of("train"),
        validation=responses.images_of("validation"),
        fit=responses.images_of("train", "validation"),
    )


@torch.no_grad()
def denoiser_features(prior: Prior, images: np.ndarray, batch: int = 64) -> dict[str, np.ndarray]:
    """Activations (image, feature) of each block of the prior's network, pooled to a grid of :data:`GRID` a side.

    ``images`` are uint8 (n, c, y, x) of any size. The network sees them as they are expected at a small noise level,
    without the noise itself: the same image gives the same features.
    """
    if not hasattr(prior.unet, "up_blocks"):
        kind = type(prior.unet).__name__
        raise V4eggError(f"encoders.baselines: ridge reads a UNet2DModel, and the prior is a {kind}; leave ridge out")
    blocks = {
        **{f"down block {i}": block for i, block in enumerate(prior.unet.down_blocks)},
        "middle block": prior.unet.mid_block,
        **{f"up block {i}": block for i, block in enumerate(prior.unet.up_blocks)},
    }
    seen: dict[str, list[np.ndarray]] = {name: [] for name in blocks}
    hooks = [block.register_forward_hook(_pooled_into(seen[name])) for name, block in blocks.items()]
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
    return {name: np.concatenate(parts) for name, parts in seen.items()}


def ridge(features: dict[str, np.ndarray], problem: Problem) -> tuple[np.ndarray, str]:
    """Ridge regression on the best of several sets of features (image, feature).

    Returns:
        z-scored predictions (image, unit), and what validation chose.
    """
    coordinates = {name: principal_coordinates(values, problem.fit) for name, values in features.items()}
    name, strength = _choose(coordinates, problem)
    predicted = _fitted(coordinates[name], problem, problem.fit, strength).predict(coordinates[name])
    return predicted.reshape(problem.target.shape), f"{name}, strength {strength:.2g}"


def linear_nonlinear(features: np.ndarray, problem: Problem) -> tuple[np.ndarray, str]:
    """Ridge regression on features (image, feature), then a softplus of its own for each unit.

    The softplus (sharpness, threshold, gain, offset by least squares) is fitted to linear predictions of fit images
    that took no part in them (cross-validation), since fitted ones are too good. It never falls.

    Returns:
        z-scored predictions (image, unit), and what validation chose.
    """
    x, rows = principal_coordinates(features, problem.fit), problem.fit
    _, strength = _choose({"": x}, problem)
    linear = _fitted(x, problem, rows, strength).predict(x).reshape(problem.target.shape)
    folds, weight = KFold(FOLDS, shuffle=True, random_state=0), {"sample_weight": problem.weight[rows]}
    held_out = cross_val_predict(Ridge(strength), x[rows], problem.target[rows], cv=folds, params=weight)
    curves = fit_softplus(held_out.reshape(len(rows), -1), problem.target[rows], problem.weight[rows])
    return curves(linear), f"strength {strength:.2g}"


def shuffled(prediction: np.ndarray, responses: Responses, seed: int) -> np.ndarray:
    """Predictions (image, unit) given to wrong images: what chance gives.

    Images change places within their split, for each unit by a draw of its own: a draw shared by all units would move
    their mean by chance together, and the interval over units would not show it. Expected correlation: 0.
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
    """The rising softplus of each unit that fits best (least squares weighted by ``weight`` (image,)).

    ``linear`` and ``target`` are (image, unit). The result takes linear predictions (any image, unit) to responses.
    """
    centre, scale = linear.mean(0), np.maximum(linear.std(0), 1e-9)
    weight = weight[:, None] / weight.sum()
    best: dict[str, np.ndarray] = {}
    for sharpness, threshold in ((s, t) for s in SHARPNESS for t in THRESHOLDS):
        curve = np.logaddexp(0, sharpness * ((linear - centre) / scale - threshold))
        mean, aim = (weight * curve).sum(0), (weight * target).sum(0)
        spread = np.maximum((weight * (curve - mean) ** 2).sum(0), 1e-12)
        gain = np.maximum((weight * (curve - mean) * (target - aim)).sum(0) / spread, MIN_GAIN)
        error = (weight * (target - aim - gain * (curve - mean)) ** 2).sum(0)
        found = {"error": error, "gain": gain, "offset": aim - gain * mean}
        found |= {"sharpness": np.full(len(error), sharpness), "threshold": np.full(len(error), threshold)}
        better = error < best.get("error", np.full(len(error), np.inf))
        best = {name: np.where(better, values, best.get(name, values)) for name, values in found.items()}

    def apply(values: np.ndarray) -> np.ndarray:
        z = (values - centre) / scale
        return best["offset"] + best["gain"] * np.logaddexp(0, best["sharpness"] * (z - best["threshold"]))

    return apply


def principal_coordinates(features: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Features (image, feature) in the coordinates that the ``fit`` images span, at most one each.

    Features are z-scored by the fit images and scaled to a mean squared norm of 1; ridge regression on the coordinates
    is ridge regression on them, at the cost of images rather than features.
    """
    values = features.astype("float32")
    mean, sd = values[fit].mean(0), values[fit].std(0)
    values = (values - mean) * np.divide(1, sd * np.sqrt(sd.size), out=np.zeros_like(sd), where=sd > 1e-6 * sd.max())
    products = (values @ values[fit].T).astype("float64")
    variances, axes = np.linalg.eigh(products[fit])
    kept = variances > 1e-6 * variances[-1]
    return products @ (axes[:, kept] / np.sqrt(variances[kept]))


def _pooled_into(parts: list[np.ndarray]) -> Callable[..., None]:
    def hook(module: nn.Module, arguments: Any, output: Any) -> None:
        activation = output[0] if isinstance(output, tuple) else output
        parts.append(F.adaptive_avg_pool2d(activation.float(), GRID).flatten(1).cpu().numpy())

    return hook


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype("float32") / 255


def _fitted(x: np.ndarray, problem: Problem, rows: np.ndarray, strength: float) -> Ridge:
    return Ridge(strength).fit(x[rows], problem.target[rows], sample_weight=problem.weight[rows])


def _choose(coordinates: dict[str, np.ndarray], problem: Problem) -> tuple[str, float]:
    """The set of features and the strength that predict the validation images best."""
    scores = {(name, a): _validation(x, problem, a) for name, x in coordinates.items() for a in STRENGTHS}
    return max(scores, key=lambda choice: scores[choice])


def _validation(x: np.ndarray, problem: Problem, strength: float) -> float:
    """Mean correlation over units on the validation images after fitting the train images; 0 for a constant."""
    rows = problem.validation
    predicted = _fitted(x, problem, problem.train, strength).predict(x[rows]).reshape(len(rows), -1)
    return float(np.nan_to_num(metrics.correlation(predicted, problem.target[rows])).mean())
