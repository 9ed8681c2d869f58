"""Reconstruction: an image from the responses of a population, by energy guided diffusion and by gradient descent.

Pierzchlewicz et al., NeurIPS 2023. Both methods lower the same energy, the mean squared error over units, and share
the target's own L2 norm; gradient descent stops an image when its error falls below that of energy guided diffusion, so
that what differs is not how well they fit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.response_scale import recorded_responses
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, blur, conform, resize, to_channels, to_float
from v4egg.priors.prior import Prior
from v4egg.recordings.responses import Responses
from v4egg.seeding import numpy_generator, torch_generator
from v4egg.synthesis.constraints import Constraint, L2Norm, PixelRange, chain
from v4egg.synthesis.energies import MatchResponse
from v4egg.synthesis.energy_guided import energy_guided, load_guide
from v4egg.synthesis.gradient_ascent import gradient_ascent
from v4egg.synthesis.result import Synthesis

METHODS = ("energy_guided", "gradient_descent")
SOURCES = ("predicted", "recorded")
BATCH = 16  # images at once


@dataclass
class Targets:
    """Images of one session that are to be reconstructed from responses to them.

    Attributes:
        names: of the images, with their session: ``s190923/image0601.jpg``.
        images: uint8 (n, c, y, x).
        units: ids of the session's selected units.
        recorded: responses (n, unit) of these, in the encoder's units of response.
    """

    names: list[str]
    images: np.ndarray
    units: list[str]
    recorded: np.ndarray


def choose_targets(images: np.ndarray, responses: Responses, generators: Ensemble, n: int, seed: int) -> Targets:
    """At most ``n`` test images of a session, drawn at random, of those to which all selected units have a response.

    Raises:
        V4eggError: the session has no such image.
    """
    recorded = recorded_responses(responses, generators.members[0])
    test = responses.images_of("test")
    test = test[np.isfinite(recorded[test]).all(1)]
    if not len(test):
        raise V4eggError(f"session {responses.session}: no test image has the responses of all units; reconstruct none")
    drawn = numpy_generator(seed, "reconstruction", responses.session).permutation(len(test))[:n]
    rows = np.sort(test[drawn])
    units = responses.selected_units
    names = [f"{responses.session}/{responses.image_ids[row]}" for row in rows]
    return Targets(names, images[rows], units, recorded[rows])


def reconstruct(
    generators: Ensemble,
    targets: Sequence[Targets],
    options: Mapping[str, Any],
    *,
    prior_path: str,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable = iter,
) -> xr.Dataset:
    """Images [source, method, image, channel, y, x] of kind ``reconstruction``, at the encoder's size and colour.

    From ``predicted`` responses, those of all units of the ``generators`` to the image, and from ``recorded`` ones, of
    the session's units. Every draw is keyed by (seed, method, image): batches do not matter.

    Args:
        options: ``energy_scale`` and ``energy_scale_recorded``, ``steps``, ``sampler``, ``guidance``, ``own_norm``; of
            gradient descent ``descent_steps`` (at most), ``learning_rate``, ``blur`` (sigma in pixels).
    """
    generators = generators.to(device)
    stimulus_spec = generators.members[0].stimulus_spec
    prior = load_guide(prior_path, stimulus_spec, device)
    shape = (len(SOURCES), len(METHODS), sum(len(group.names) for group in targets))
    image = np.zeros((*shape, stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size), np.float32)
    cost = {name: np.zeros(shape, np.float32) for name in ("training_error", "evaluations", "seconds")}
    jobs = [(s, group, first) for s in range(len(SOURCES)) for group, first in _batches(targets)]
    for s, group, first in progress(jobs):
        made = _both(generators, prior, group, SOURCES[s], options, seed)
        for m, result in enumerate(made):
            place = s, m, slice(first, first + len(group.names))
            image[place] = result.images.cpu().numpy()
            cost["training_error"][place] = result.energies.cpu().numpy()
            cost["evaluations"][place] = np.asarray(result.evaluations)
            cost["seconds"][place] = result.seconds / len(group.names)
    dims = ("source", "method", "image")
    true = np.concatenate([conform(group.images, stimulus_spec.size, stimulus_spec.channels) for group in targets])
    return xr.Dataset(
        {
            "made": ((*dims, "channel", "y", "x"), image),
            "true": (("image", "channel", "y", "x"), true.astype(np.float32) / 255),
            **{name: (dims, values) for name, values in cost.items() if name != "evaluations"},
            "evaluations": (dims, cost["evaluations"].astype(np.int64)),
        },
        {
            "source": list(SOURCES),
            "method": list(METHODS),
            "image": np.asarray([name for group in targets for name in group.names], object),
        },
    )


def _batches(targets: Sequence[Targets]):
    """Each group in pieces of at most BATCH images, with where each piece stands among all images."""
    start = 0
    for group in targets:
        for first in range(0, len(group.names), BATCH):
            rows = slice(first, first + BATCH)
            part = Targets(group.names[rows], group.images[rows], group.units, group.recorded[rows])
            yield part, start + first
        start += len(group.names)


def _both(generators: Ensemble, prior: Prior, group: Targets, source: str, options, seed: int) -> list[Synthesis]:
    """The results of METHODS for one batch of images."""
    stimulus_spec, device = generators.members[0].stimulus_spec, generators.weights.device
    true = to_float(conform(group.images, stimulus_spec.size, stimulus_spec.channels)).to(device)
    energy = _energy(generators, group, source, true)
    norm = stimulus_spec(true).flatten(1).norm(dim=1)
    constraint = chain(L2Norm(norm, stimulus_spec), PixelRange()) if options["own_norm"] else PixelRange()

    def draws(method: str) -> list[torch.Generator]:
        return [torch_generator(seed, "reconstruction", method, name) for name in group.names]

    guided = energy_guided(
        energy,
        draws("energy_guided"),
        prior,
        energy_scale=options["energy_scale_recorded" if source == "recorded" else "energy_scale"],
        constraint=constraint,
        **{name: options[name] for name in ("steps", "sampler", "guidance")},
    )
    guided = _on_canvas(guided, energy, stimulus_spec)
    descended = gradient_ascent(
        energy,
        draws("gradient_descent"),
        stimulus_spec,
        steps=options["descent_steps"],
        learning_rate=options["learning_rate"],
        smoothing=0.0,
        constraint=constraint,
        view=_blurred(options["blur"]),
        goal=guided.energies,
    )
    return [guided, descended]


def _energy(generators: Ensemble, group: Targets, source: str, true: Tensor) -> MatchResponse:
    if source == "recorded":
        units = generators.index(group.units).to(true.device)
        return MatchResponse(generators, torch.as_tensor(group.recorded).to(true), units)
    with torch.no_grad():
        return MatchResponse(generators, generators(true))


def _blurred(sigma: float) -> Constraint:
    return lambda images: blur(images, sigma)


def _on_canvas(made: Synthesis, energy: MatchResponse, stimulus_spec: Preprocess) -> Synthesis:
    """The images at the encoder's size and colour, where a prior makes others."""
    images = resize(to_channels(made.images, stimulus_spec.channels), stimulus_spec.size)
    with torch.no_grad():
        return Synthesis(images, energy(images), made.trajectory, made.evaluations, made.seconds)
