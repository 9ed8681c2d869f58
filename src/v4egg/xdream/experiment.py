"""XDream's experiments: evolve images for black-box neurons and hold them against the best natural image of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.units import by_session
from v4egg.seeding import numpy_generator
from v4egg.stats.metrics import evolved_over_natural
from v4egg.xdream.evolution import Evolution, PoissonSpikes, evolve
from v4egg.xdream.generators.generator import ImageGenerator
from v4egg.xdream.neurons import HiddenUnits, ModelUnits, NeuronGroup, all_responses, depths
from v4egg.xdream.optimizers import make_optimizer

PROBES = 64  # natural images that tell silent hidden units


def evolution_experiment(
    neurons: NeuronGroup,
    image_generator: ImageGenerator,
    natural: Sequence[np.ndarray],
    natural_responses: np.ndarray,
    *,
    optimizer: str = "genetic",
    settings: Mapping[str, Any] | None = None,
    budget: int = 10_000,
    spikes: float | None = None,
    repeats: int = 1,
    initial: str = "random",
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
) -> xr.Dataset:
    """Evolve an image for each neuron: a dataset of kind ``evolution``.

    Args:
        neurons: the black boxes; N of them.
        natural: uint8 images (n, C, y, x), a block for each session.
        natural_responses: noiseless (n, N), of every neuron to the images of all blocks; NaN: not shown to it.
        budget: presentations for each neuron, repeats counted.
        spikes: expected spikes of each neuron at its best natural image, from which Poisson counts are told; None: the
            responses themselves. ``repeats`` presentations of each image are averaged.
        initial: ``random`` codes, or those of the best ``natural`` images of each neuron.
        seed: draws are keyed by (seed, neuron).

    Raises:
        V4eggError: a setting is impossible; see :class:`Evolution` and :func:`make_optimizer`.
    """
    if spikes is None and repeats > 1:
        raise V4eggError(f"evolution: repeats is {repeats} without spikes; repeats without noise change nothing")
    keys = [(seed, "evolution", name) for name in neurons.names]
    best = np.nanmax(natural_responses, 0)
    start, settings = None, dict(settings or {})
    if initial == "natural":
        population = make_optimizer(optimizer, keys[:1], 2, **settings).population
        start = natural_codes(image_generator, natural, natural_responses, population)
    search = make_optimizer(optimizer, keys, image_generator.size, start, **settings)
    evolution = Evolution(search, budget, repeats)
    noise = None
    if spikes is not None:  # z-scored responses are lifted until no natural image has less than no spike
        offset = np.maximum(-np.nanmin(natural_responses, 0), 0)
        noise = PoissonSpikes(keys, spikes / np.where(best + offset > 0, best + offset, spikes), repeats, offset)
    shown = {"noise": noise, "checkpoint": checkpoint, "progress": progress}
    with neurons.reduced_precision():
        evolve(evolution, image_generator, neurons, **shown)
    images = torch.cat([image_generator(codes) for codes in torch.from_numpy(evolution.best_code).split(64)])
    history = {name: rows.T for name, rows in evolution.history.items()}
    curves = {name: (("neuron", "round"), history[name]) for name in ("best", "mean", "noiseless")}
    with torch.no_grad():  # what is reported is the neuron's own response, not what a quick search took it for
        evolved = neurons(images, np.arange(len(images))).double().cpu().numpy()
    evolved = np.where(np.isnan(evolution.best_score), np.nan, evolved)
    return xr.Dataset(
        {
            "presentations": (("neuron", "round"), history["presentations"].astype(np.int64)),
            **curves,
            "evolved": ("neuron", evolved),
            "natural": ("neuron", best),
            "evolved_over_natural": ("neuron", evolved_over_natural(evolved, best)),
            "image": (("neuron", "channel", "y", "x"), images.cpu().numpy()),
            "group": ("neuron", np.array(neurons.groups, object)),
        },
        {"neuron": np.array(neurons.names, object)},
    )


def natural_codes(
    image_generator: ImageGenerator, natural: Sequence[np.ndarray], responses: np.ndarray, population: int
) -> np.ndarray:
    """Codes (N, population, D) of the natural images that each neuron likes best, best first.

    Raises:
        V4eggError: there are fewer images than the population, or the generator cannot find their codes.
    """
    if len(responses) < population:
        raise V4eggError(f"evolution: {len(responses)} natural images for a population of {population}; show more")
    liked = np.argsort(-np.nan_to_num(responses, nan=-np.inf), axis=0)[:population].T
    used, place = np.unique(liked, return_inverse=True)
    blocks = [(block, i) for block, images in enumerate(natural) for i in range(len(images))]
    channels, side, _ = image_generator.shape
    fitted = [conform(natural[b][i : i + 1], side, channels) for b, i in (blocks[position] for position in used)]
    codes = torch.cat(
        [image_generator.encode(part.to(image_generator.device)) for part in to_float(np.concatenate(fitted)).split(64)]
    )
    return codes.cpu().numpy()[place.reshape(liked.shape)]


def experiment_neurons(
    options: Mapping[str, Any],
    units: Sequence[str],
    ensemble: Ensemble | None,
    external: Sequence[nn.Module],
    probe: np.ndarray,
    seed: int,
) -> NeuronGroup:
    """The neurons of a condition (``neurons``: external, encoder or hidden).

    Args:
        options: ``neurons``; ``units``, at most so many external or encoder neurons; ``layers`` and ``channels`` of
            hidden ones. Which are taken is drawn by ``seed``.
        units: unit ids to draw from.
        ensemble: the encoders, for all but ``external``; their first member's layers hold the hidden units.
        external: models of the judges from outside, each with ``units``, for ``external``.
        probe: uint8 images (n, C, y, x) to which a hidden unit has to respond.
    """
    if options["neurons"] == "external":
        known = {unit for model in external for unit in model.units}
        return external_neurons(external, _drawn([unit for unit in units if unit in known], options["units"], seed))
    if options["neurons"] == "encoder":
        return encoder_neurons(ensemble, _drawn(units, options["units"], seed))
    member = ensemble.members[0]
    return hidden_neurons(member, options["channels"], options["layers"], seed, to_float(probe[:PROBES]))


def _drawn(units: Sequence[str], count: int, seed: int) -> list[str]:
    """At most ``count`` of the units, in their order."""
    chosen = numpy_generator(seed, "evolution units").permutation(len(units))[:count]
    return [units[i] for i in sorted(chosen.tolist())]


def external_neurons(external: Sequence[nn.Module], units: Sequence[str]) -> NeuronGroup:
    """The units that a judge from outside knows, as that judge: the nearest to a living neuron; grouped by session.

    Raises:
        V4eggError: no such judge knows any of them.
    """
    found = {}
    for model in external:
        for session, names in by_session([unit for unit in units if unit in set(model.units)]).items():
            found[session] = ModelUnits(model, names)
    if not found:
        raise V4eggError("evolution: no judge from outside knows a target unit; set neurons to encoder or hidden")
    return NeuronGroup(found)


def encoder_neurons(ensemble: Ensemble, units: Sequence[str]) -> NeuronGroup:
    """The ensemble's prediction of each unit, grouped by session."""
    return NeuronGroup({session: ModelUnits(ensemble, names) for session, names in by_session(units).items()})


def hidden_neurons(network: nn.Module, channels: int, layers: int, seed: int, probe: Tensor) -> NeuronGroup:
    """``channels`` hidden units of each of ``layers`` layers spread over the depth of a network.

    Channels that are silent for all of the ``probe`` images (n, C, y, x) are left out: nothing can be relative to 0.
    """
    names = depths(network)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(layers, len(names))).round().astype(int))]
    found = {}
    for layer in chosen:
        alive = np.flatnonzero(HiddenUnits(network, layer, [0]).output(probe).amax(0).cpu().numpy() > 0)
        drawn = numpy_generator(seed, "hidden units", layer).permutation(alive)[:channels]
        if len(drawn):
            found[layer] = HiddenUnits(network, layer, sorted(drawn.tolist()))
    if not found:
        raise V4eggError("evolution: no hidden unit responds to natural images; train the encoders longer")
    return NeuronGroup(found)


def responses_to_natural(
    neurons: NeuronGroup, sessions: Mapping[str, np.ndarray], known: Mapping[str, xr.DataArray]
) -> np.ndarray:
    """Responses (n, N) of every neuron to the uint8 images of all sessions, one session after another.

    ``known`` holds responses (image, unit) that were asked for before, by session: then its images count for its own
    units only, and are NaN for the others.
    """
    parts = []
    for session, images in sessions.items():
        if session not in known:
            parts.append(all_responses(neurons, to_float(images)))
            continue
        table = known[session].reindex(unit=neurons.names)
        parts.append(table.transpose("image", "unit").values)
    return np.concatenate(parts)
