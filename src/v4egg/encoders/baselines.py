"""Baseline models of the same units, which an encoder has to outperform, and the chance level.

Baselines are fitted on the fit images (train and validation). The hyperparameters (strength of the penalty, block of
the denoiser) are those that predict the validation images best after fitting the train images; the model is then fitted
on both. All units of a session share one choice, because the validation images are too few to choose for each unit.
Each response is weighted by its number of trials; a response that is missing has no weight.
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
from torch import nn

from v4egg.encoders.baseline_fits import Problem, flat, linear_nonlinear, make_problem, ridge
from v4egg.encoders.registry import BASELINES
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.priors.prior import Prior
from v4egg.recordings.responses import SPLITS, Responses
from v4egg.registry import Options, options_of
from v4egg.seeding import numpy_generator

NOISE_LEVEL = 0.1  # fraction of the schedule's timesteps; low, so that the features represent the image itself
GRID = 7  # side of the grid to which activations are pooled
PIXELS = 16  # side of the images of the linear-nonlinear model, in pixels


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
        """Fit a linear-nonlinear model to the pixels; see :meth:`BaselineOptions.predictions`."""
        pixels = conform(task.images, PIXELS, task.images.shape[1])
        prediction, chosen = linear_nonlinear(flat(pixels), task.problem)
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


def _pooled_into(parts: list[np.ndarray]) -> Callable[..., None]:
    """A forward hook that appends the pooled activations (image, feature) of a module to ``parts``."""

    def hook(module: nn.Module, arguments: Any, output: Any) -> None:
        activation = output[0] if isinstance(output, tuple) else output
        parts.append(F.adaptive_avg_pool2d(activation.float(), GRID).flatten(1).cpu().numpy())

    return hook
