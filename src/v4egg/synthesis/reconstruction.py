"""Reconstruction: an image from the responses of a population, by energy-guided diffusion and by gradient descent.

Pierzchlewicz et al., NeurIPS 2023. Both methods lower the same energy, the mean squared error over units, and bring
images to the target's L2 norm; gradient descent stops an image when its error falls below that of energy-guided
diffusion, so that both fit the responses equally well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.device import device_of
from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.response_scale import recorded_responses
from v4egg.errors import V4eggError
from v4egg.images import processing
from v4egg.images.processing import Preprocess, conform, resize, to_channels, to_float
from v4egg.priors.prior import Prior
from v4egg.recordings.responses import Responses
from v4egg.seeding import numpy_generator, torch_generator
from v4egg.synthesis.constraints import Constraint, L2Norm, PixelRange, chain
from v4egg.synthesis.energies import MatchResponse
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.gradient_ascent import gradient_ascent
from v4egg.synthesis.mei import borrowed_all
from v4egg.synthesis.models import ResponseModel, model_device, validate_model
from v4egg.synthesis.result import Synthesis

METHODS = ("energy_guided", "gradient_descent")
SOURCES = ("predicted", "recorded")
BATCH = 16  # images at once
MIN_SHARE = 0.9  # of the units that have a response to an image which is reconstructed


@dataclass
class Targets:
    """Images of one session that are to be reconstructed from responses to them.

    Attributes:
        names: of the images, with their session: ``s190923/image0601.jpg``.
        images: uint8 (n, c, y, x).
        units: ids of the session's selected units, to which ``recorded`` belongs.
        recorded: recorded responses (n, unit), in the model's units of response, NaN where a unit was not recorded;
            None: images are reconstructed from predicted responses only.

    Example:
        >>> images = np.zeros((2, 1, 8, 8), "uint8")
        >>> Targets(["s1/a.png", "s1/b.png"], images, units=["s1-u000"], recorded=np.zeros((2, 1))).recorded.shape
        (2, 1)
    """

    names: list[str]
    images: np.ndarray
    units: Sequence[str] = ()
    recorded: np.ndarray | None = None


def choose_targets(images: np.ndarray, responses: Responses, generators: Ensemble, n: int, seed: int) -> Targets:
    """At most ``n`` test images of a session, drawn at random, of those to which nearly all units have a response.

    An image needs the responses of :data:`MIN_SHARE` of the selected units; it is reconstructed from those that it has.

    Args:
        images: of the session, uint8 (n, c, y, x).
        responses: of the session.
        generators: says whether responses are z-scores or counts.
        n: largest number of images.
        seed: keys the draw, with the session.

    Raises:
        V4eggError: the session has no such image.
    """
    recorded = recorded_responses(responses, generators.members[0])
    test = responses.images_of("test")
    test = test[np.isfinite(recorded[test]).mean(1) >= MIN_SHARE]
    if not len(test):
        raise V4eggError(
            f"session {responses.session}: no test image has the responses of {MIN_SHARE:.0%} of the selected units; "
            "raise responses.selection.min_recorded, or set reconstruction.images to 0"
        )
    order = numpy_generator(seed, "reconstruction", responses.session).permutation(len(test))[:n]
    rows = np.sort(test[order])
    units = responses.selected_units
    names = [f"{responses.session}/{responses.image_ids[row]}" for row in rows]
    return Targets(names, images[rows], units, recorded[rows])


def reconstruct(
    model: ResponseModel,
    targets: Sequence[Targets],
    *,
    prior: Prior | str | Path,
    energy_scale: float = 2.0,
    energy_scale_recorded: float = 1.0,
    steps: int = 100,
    sampler: str = "ancestral",
    guidance: str = "full",
    own_norm: bool = True,
    descent_steps: int = 1000,
    learning_rate: float = 0.05,
    blur: float = 1.0,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[Any], Any] = iter,
) -> xr.Dataset:
    """Reconstruct images from the responses to them, by energy-guided diffusion and by gradient descent.

    From ``predicted`` responses, those of all units of the model to the image, and from ``recorded`` ones, of the
    session's units. Every draw is keyed by (seed, method, image), so that no image depends on the others. Model, device
    and targets are checked first; model and prior are left as they were.

    Args:
        model: as in :func:`v4egg.synthesize_mei`.
        targets: the images, by session.
        prior: the diffusion prior (:func:`v4egg.load_prior`), or the path of its store.
        energy_scale: lambda for predicted responses.
        energy_scale_recorded: lambda for recorded responses.
        steps: denoising steps (published: 1000).
        sampler: see :func:`v4egg.synthesis.energy_guided.energy_guided`.
        guidance: see there.
        own_norm: whether reconstructions have the L2 norm of their image, with both methods.
        descent_steps: largest number of steps of gradient descent (published: 5000).
        learning_rate: AdamW step of gradient descent.
        blur: standard deviation in pixels of the Gaussian through which gradient descent sees its pixels.
        seed: keys every draw.
        device: where to compute; None: where the model is.
        progress: wraps the batches.

    Returns:
        A dataset of kind ``reconstruction``: ``made`` [source, method, image, channel, y, x] and ``true`` [image,
        channel, y, x] in [0, 1], at the model's size and colour; ``training_error`` (mean squared error of the
        responses), ``evaluations`` and ``seconds`` [source, method, image].

    Raises:
        V4eggError: the model cannot be used, the device cannot be used, the targets are none, or some with and some
            without recorded responses.

    Example:
        >>> import numpy as np, torch, v4egg
        >>> from v4egg.priors.training import new_prior
        >>> prior = new_prior({"size": 8, "channels": 1, "patch_size": 1, "widths": [16, 32], "layers": 1})
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))
        >>> model = v4egg.wrap_model(network, 5, size=8, channels=1, mean=[0.5], std=[0.2])
        >>> images = np.random.default_rng(0).integers(0, 255, (2, 1, 8, 8), dtype=np.uint8)
        >>> result = v4egg.reconstruct(model, [Targets(["a", "b"], images)], prior=prior, steps=3, descent_steps=3)
        >>> result["reconstruction"].shape, result["source"].values.tolist()
        ((1, 2, 2, 1, 8, 8), ['predicted'])
    """
    validate_model(model)
    sources = _sources(targets)
    options = _Options(
        {"predicted": energy_scale, "recorded": energy_scale_recorded},
        {"steps": steps, "sampler": sampler, "guidance": guidance},
        own_norm,
        {"steps": descent_steps, "learning_rate": learning_rate},
        blur,
    )
    jobs = [(s, group, first) for s in range(len(sources)) for group, first in _batches(targets)]
    size, channels = model.stimulus_spec.size, model.stimulus_spec.channels
    shape = (len(sources), len(METHODS), sum(len(group.names) for group in targets))
    image = np.zeros((*shape, channels, size, size), np.float32)
    cost = {name: np.zeros(shape, np.float32) for name in ("training_error", "evaluations", "seconds")}
    with borrowed_all(model, {"prior": prior}, device) as (local_model, stores):
        guide = load_guide(stores["prior"], local_model.stimulus_spec, str(device_of(local_model)))
        for s, group, first in progress(jobs):
            for m, result in enumerate(_both(local_model, guide, group, sources[s], options, seed)):
                place = s, m, slice(first, first + len(group.names))
                image[place] = result.images.cpu().numpy()
                cost["training_error"][place] = result.energies.cpu().numpy()
                cost["evaluations"][place] = np.asarray(result.evaluations)
                cost["seconds"][place] = result.seconds / len(group.names)
    dims = ("source", "method", "image")
    true = np.concatenate([conform(group.images, size, channels) for group in targets])
    return xr.Dataset(
        {
            "reconstruction": ((*dims, "channel", "y", "x"), image),
            "true": (("image", "channel", "y", "x"), true.astype(np.float32) / 255),
            **{name: (dims, values) for name, values in cost.items() if name != "evaluations"},
            "evaluations": (dims, cost["evaluations"].astype(np.int64)),
        },
        {
            "source": list(sources),
            "method": list(METHODS),
            "image": np.asarray([name for group in targets for name in group.names], object),
        },
    )


@dataclass
class _Options:
    """What both methods are given, by source of the responses and by method."""

    energy_scales: Mapping[str, float]
    guided: Mapping[str, Any]
    own_norm: bool
    descent: Mapping[str, Any]
    blur_sigma: float


def _sources(targets: Sequence[Targets]) -> tuple[str, ...]:
    recorded = {group.recorded is not None for group in targets}
    if len(recorded) != 1:
        what = "there are no targets" if not recorded else "some targets have recorded responses and others have none"
        raise V4eggError(f"reconstruction: {what}; give targets, all with recorded responses or none")
    return SOURCES if recorded == {True} else SOURCES[:1]


def _batches(targets: Sequence[Targets]) -> Iterator[tuple[Targets, int]]:
    """Each session's images in batches of at most BATCH, with the position of each batch among all images."""
    start = 0
    for group in targets:
        for first in range(0, len(group.names), BATCH):
            rows = slice(first, first + BATCH)
            recorded = None if group.recorded is None else group.recorded[rows]
            part = Targets(group.names[rows], group.images[rows], group.units, recorded)
            yield part, start + first
        start += len(group.names)


def _both(
    model: ResponseModel, prior: Prior, group: Targets, source: str, options: _Options, seed: int
) -> list[Synthesis]:
    """The results of METHODS for one batch of images."""
    stimulus_spec, device = model.stimulus_spec, model_device(model)
    true = to_float(conform(group.images, stimulus_spec.size, stimulus_spec.channels)).to(device)
    energy = _energy(model, group, source, true)
    norm = stimulus_spec(true).flatten(1).norm(dim=1)
    constraint = chain(L2Norm(norm, stimulus_spec), PixelRange()) if options.own_norm else PixelRange()

    def draws(method: str) -> list[torch.Generator]:
        return [torch_generator(seed, "reconstruction", method, name) for name in group.names]

    guided = energy_guided(
        energy,
        draws("energy_guided"),
        prior,
        energy_scale=options.energy_scales[source],
        constraint=constraint,
        **options.guided,
    )
    guided = _at_model_size(guided, energy, stimulus_spec)
    descended = gradient_ascent(
        energy,
        draws("gradient_descent"),
        stimulus_spec,
        **options.descent,
        smoothing=0.0,
        constraint=constraint,
        view=_blurred(options.blur_sigma),
        goal=guided.energies,
    )
    return [guided, descended]


def _energy(model: ResponseModel, group: Targets, source: str, true: Tensor) -> MatchResponse:
    if source == "recorded":
        units = model.index(group.units).to(true.device)
        return MatchResponse(model, torch.as_tensor(group.recorded).to(true), units)
    with torch.no_grad():
        return MatchResponse(model, model(true))


def _blurred(sigma: float) -> Constraint:
    return lambda images: processing.blur(images, sigma)


def _at_model_size(synthesis: Synthesis, energy: MatchResponse, stimulus_spec: Preprocess) -> Synthesis:
    """The images at the model's size and colour, where a prior makes others."""
    images = resize(to_channels(synthesis.images, stimulus_spec.channels), stimulus_spec.size)
    with torch.no_grad():
        return Synthesis(images, energy(images), synthesis.trajectory, synthesis.evaluations, synthesis.seconds)
