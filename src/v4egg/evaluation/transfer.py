"""Every image under every judge, normalised by the judge's own responses to the session's natural images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.evaluation.judges import Judge
from v4egg.images.processing import conform, to_float
from v4egg.io import stores
from v4egg.recordings.units import by_session
from v4egg.seeding import torch_generator
from v4egg.stats.activation_scales import normalized_activation
from v4egg.synthesis.constraints import FAINT, PixelRange, RMSContrast, rms_contrast

MODEL_SELECTED_NATURAL = "model_selected_natural"
NOISE = "noise"
MEASURES = (
    "activation",
    "zscore",
    "normalized_activation",
    "normalized_to_best_natural",
    "normalized_at_matched_contrast",
)


@dataclass
class NaturalImages:
    """The natural images of one session, with its target units.

    Attributes:
        images: uint8 (n, c, y, x).
        names: The name of each image.
        units: Ids of the target units of the session.
        responses: Name of a judge -> its responses (n, U) to these images, where they are stored: some judges are slow.
    """

    images: np.ndarray
    names: Sequence[str]
    units: Sequence[str]
    responses: Mapping[str, np.ndarray] = field(default_factory=dict)


def stored_responses(path: str | Path, units: Sequence[str]) -> dict[str, np.ndarray]:
    """Stored responses of a judge to the natural images of a session.

    Args:
        path: A ``natural_responses`` store.
        units: Unit ids.

    Returns:
        Name of the judge -> its responses (n, U); NaN for units that it does not have.
    """
    natural = stores.load(path, "natural_responses")
    return {natural.attrs["judge"]: natural["response"].reindex(unit=list(units)).values}


def with_cached_predictions(
    judges: Sequence[Judge], natural: Sequence[NaturalImages], predictions: Sequence[xr.Dataset]
) -> list[NaturalImages]:
    """Copies of ``natural`` whose ``responses`` also hold each ensemble's mean response to the natural images.

    Args:
        judges: Those of them that are ensembles are looked up.
        natural: The natural images of each session.
        predictions: The stored predictions of the members, of kind ``predictions``, for all images of each session.

    Raises:
        V4eggError: Predictions for some images are missing, so that the best image is not known.
    """
    ensembles = {judge.name: judge.models[0] for judge in judges if isinstance(judge.models[0], Ensemble)}
    completed = []
    for session, stored in zip(natural, predictions, strict=True):
        member_responses = stored["response"].sel(unit=list(session.units))
        if member_responses.isnull().any():
            name = next(iter(by_session(session.units)))
            raise V4eggError(
                f"predictions of session {name}: members were not asked for all of its images; name it in "
                "targets.sessions and run predict_responses again"
            )
        responses = {name: _mean(ensemble, member_responses) for name, ensemble in ensembles.items()}
        completed.append(replace(session, responses={**session.responses, **responses}))
    return completed


def _mean(ensemble: Ensemble, responses: xr.DataArray) -> np.ndarray:
    single = np.stack([responses.sel(arch=member.arch, member=member.member).values for member in ensemble.members])
    return np.tensordot(ensemble.get_buffer("weights").cpu().numpy(), single, 1)


def judge_images(
    meis: Mapping[str, xr.DataArray], judges: Sequence[Judge], natural: Sequence[NaturalImages]
) -> xr.Dataset:
    """Score the images of one architecture, and two controls: each unit's model-selected natural image, and noise.

    The model-selected natural image of a unit is the one of its session to which the generators, the first judge,
    respond most: they know it as well as the images that they made. Noise has its mean colour and its contrast.

    Args:
        meis: Method -> image[unit, sample, channel, y, x] in [0, 1].
        judges: The first is the generators.
        natural: The natural images of each session that has target units.

    Returns:
        :data:`MEASURES` [method, unit, sample, judge]; the last methods are ``model_selected_natural`` (sample 0 only)
        and ``noise``. With a the activation and m the mean response to natural images, all of the same judge:
        ``zscore`` is (a - m) / sd of those responses; ``normalized_activation`` is (a - m) / (r - m), where r is the
        response to the model-selected natural image; ``normalized_to_best_natural`` is the same with r the largest
        response of the judge to a natural image, a stricter scale; ``normalized_at_matched_contrast`` is
        ``normalized_activation`` of the image brought to the contrast of the model-selected natural image. Moreover
        ``contrast`` [method, unit, sample] (RMS, of the luminance), ``shares_weights`` [judge],
        ``model_selected_natural`` [unit] (the image's name) and ``natural_image`` [unit, channel, y, x].

    Example:
        >>> from v4egg import wrap_model
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> pictures = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
        >>> natural = NaturalImages(pictures, ["p0", "p1", "p2", "p3", "p4"], ["a", "b"])
        >>> coords = {"unit": ["a", "b"]}
        >>> meis = xr.DataArray(np.random.rand(2, 1, 1, 8, 8), coords, ["unit", "sample", "channel", "y", "x"])
        >>> scores = judge_images({"mine": meis}, [Judge("generators", [model], shares_weights=True)], [natural])
        >>> scores["normalized_activation"].dims, scores["method"].values.tolist()
        (('method', 'unit', 'sample', 'judge'), ['mine', 'model_selected_natural', 'noise'])
    """
    template = next(iter(meis.values()))
    units, samples, names = list(template["unit"].values), template.sizes["sample"], [judge.name for judge in judges]
    reference = _natural_reference(judges, natural, units)
    images = {
        method: torch.from_numpy(mei.transpose("unit", "sample", ...).values).float() for method, mei in meis.items()
    }
    spec = template.sizes["y"], template.sizes["channel"]
    # natural images are stored larger than made ones, and contrast falls with size: both are measured at one size
    selected = np.stack([conform(image[None], *spec)[0] for image in reference["image"]])
    images[NOISE] = _noise(to_float(selected), units, samples)
    methods = [*meis, MODEL_SELECTED_NATURAL, NOISE]
    shape = (len(methods), len(units), samples, len(judges))
    activation, matched = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    contrast = np.full(shape[:-1], np.nan, np.float32)
    rival = rms_contrast(to_float(selected)).numpy()
    for method, of_method in images.items():
        m = methods.index(method)
        for s in range(samples):
            batch = of_method[:, s]
            contrast[m, :, s] = rms_contrast(batch).numpy()
            for j, judge in enumerate(judges):
                activation[m, :, s, j] = judge.paired(batch, units).numpy()
                matched[m, :, s, j] = judge.paired(_at_contrast(batch, rival), units).numpy()
    m = methods.index(MODEL_SELECTED_NATURAL)
    activation[m, :, 0] = matched[m, :, 0] = reference["selected"]
    contrast[m, :, 0] = rival
    keys = ("mean", "sd", "selected", "best")
    mean, sd, selected_response, best_response = (reference[key][None, :, None] for key in keys)
    dims = ("method", "unit", "sample", "judge")
    measures = (
        activation,
        (activation - mean) / sd,
        normalized_activation(activation, mean, selected_response),
        normalized_activation(activation, mean, best_response),
        normalized_activation(matched, mean, selected_response),
    )
    return xr.Dataset(
        {name: (dims, values) for name, values in zip(MEASURES, measures, strict=True)}
        | {
            "contrast": (dims[:-1], contrast),
            "shares_weights": ("judge", [judge.shares_weights for judge in judges]),
            "model_selected_natural": ("unit", np.array(reference["name"], object)),
            "natural_image": (("unit", "channel", "y", "x"), selected.astype(np.float32) / 255),
        },
        {"method": methods, "unit": units, "judge": names},
    )


def _noise(images: Tensor, units: Sequence[str], samples: int) -> Tensor:
    """Gaussian pixel noise (unit, sample, channel, y, x) with the mean colour and the contrast of each unit's image."""
    noise = []
    for image, unit in zip(images.split(1), units, strict=True):
        draws = [torch.randn(image.shape, generator=torch_generator(NOISE, unit, s)) for s in range(samples)]
        colour, contrast = image.mean((-2, -1), keepdim=True), rms_contrast(image).numpy()
        noise.append(_at_contrast(torch.cat(draws) + colour, np.repeat(contrast, samples)))
    return torch.stack(noise)


def _at_contrast(images: Tensor, contrasts: np.ndarray) -> Tensor:
    """Images, each rescaled about its mean to its RMS contrast; those of a faint rival are left as they are."""
    pairs = zip(images, contrasts, strict=True)
    scaled = [RMSContrast(float(c))(image[None]) if c > FAINT else image[None] for image, c in pairs]
    return PixelRange()(torch.cat(scaled))


def judge_series(images: xr.DataArray, judges: Sequence[Judge]) -> xr.Dataset:
    """Score images of units along a setting; of kind ``judged``.

    Args:
        images: [unit, setting, sample, channel, y, x] in [0, 1], or without ``setting``.

    Returns:
        activation[unit, setting, sample, judge] in the judge's units and shares_weights[judge].

    Example:
        >>> from v4egg import wrap_model
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> coords = {"unit": ["a", "b"], "setting": [0.5, 2.0]}
        >>> dims = ["unit", "setting", "sample", "channel", "y", "x"]
        >>> images = xr.DataArray(np.random.rand(2, 2, 3, 1, 8, 8), coords, dims)
        >>> judge_series(images, [Judge("mine", [model], shares_weights=False)])["activation"].shape
        (2, 2, 3, 1)
    """
    if "setting" not in images.dims:
        images = images.expand_dims({"setting": [0.0]}, 1)
    units = [str(unit) for unit in images["unit"].values]
    shape = tuple(images.sizes[dim] for dim in ("unit", "setting", "sample"))
    activation = np.full((*shape, len(judges)), np.nan, np.float32)
    for setting, sample in np.ndindex(shape[1:]):
        batch = torch.from_numpy(images.isel(setting=setting, sample=sample).values).float()
        for j, judge in enumerate(judges):
            activation[:, setting, sample, j] = judge.paired(batch, units).numpy()
    return xr.Dataset(
        {
            "activation": (("unit", "setting", "sample", "judge"), activation),
            "shares_weights": ("judge", [judge.shares_weights for judge in judges]),
        },
        {"unit": units, "setting": images["setting"].values, "judge": [judge.name for judge in judges]},
    )


def _natural_reference(
    judges: Sequence[Judge], natural: Sequence[NaturalImages], units: Sequence[str]
) -> dict[str, Any]:
    """Per unit: the image that the generators pick; each judge's mean, sd, response to that image, and largest one."""
    place = {unit: i for i, unit in enumerate(units)}
    shape = (len(units), len(judges))
    reference: dict[str, Any] = {key: np.full(shape, np.nan) for key in ("mean", "sd", "selected", "best")}
    reference |= {"name": [""] * len(units), "image": [None] * len(units)}
    for session in natural:
        images = to_float(session.images)
        rows = [place[unit] for unit in session.units]
        picks: np.ndarray | None = None
        for j, judge in enumerate(judges):
            responses = session.responses.get(judge.name)
            if responses is None:
                responses = judge(images, session.units).numpy()
            picks = responses.argmax(0) if picks is None else picks
            reference["mean"][rows, j] = responses.mean(0)
            reference["sd"][rows, j] = responses.std(0)
            reference["selected"][rows, j] = responses[picks, np.arange(len(rows))]
            reference["best"][rows, j] = responses.max(0)
        assert picks is not None  # the generators are a judge
        for row, pick in zip(rows, picks, strict=True):
            reference["name"][row], reference["image"][row] = session.names[pick], session.images[pick]
    return reference


def gather_architectures(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """The results of :func:`judge_images` by architecture as one dataset, as :func:`join_architectures` joins them."""
    gathered = join_architectures(parts)
    for name in MEASURES:
        gathered[name] = gathered[name].transpose("method", "arch", "unit", "sample", "judge")
    gathered["contrast"] = gathered["contrast"].transpose("method", "arch", "unit", "sample")
    return gathered


def join_architectures(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Datasets by architecture as one with the dim ``arch``.

    NaN where an architecture lacks a judge, as a combined architecture of all of them lacks one across.
    """
    judges = list(dict.fromkeys(str(judge) for part in parts.values() for judge in part["judge"].values))
    whole = [part.reindex(judge=judges, fill_value={"shares_weights": False}) for part in parts.values()]
    return xr.concat(whole, xr.Variable("arch", list(parts)))
