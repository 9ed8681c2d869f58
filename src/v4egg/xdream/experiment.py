"""XDream's experiments: evolve images for black-box neurons and compare them with the best natural image of each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.unit_model import UnitModel
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.units import by_session
from v4egg.seeding import numpy_generator
from v4egg.stats.activation_scales import evolved_over_natural
from v4egg.xdream.evolution import Evolution, PoissonSpikes, evolve
from v4egg.xdream.generators.generator import ImageGenerator
from v4egg.xdream.neurons import HiddenUnits, ModelUnits, NeuronGroup, all_responses, rectified_layers
from v4egg.xdream.optimizers import make_optimizer

PROBES = 64  # natural images that show which hidden units are silent


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
    """Evolve an image for each neuron and compare the response to it with that to the best natural image.

    Args:
        neurons: N neurons.
        image_generator: turns codes into images.
        natural: natural images uint8 (n, C, y, x), one array per session.
        natural_responses: noiseless responses (n, N) of each neuron to the images of all sessions; NaN where an image
            was not presented.
        optimizer, settings: a name of :data:`v4egg.xdream.optimizers.OPTIMIZERS` and its options.
        budget: presentations per neuron, repeats included.
        spikes: expected spikes of each neuron for its best natural image: scores are then Poisson counts. None for
            noiseless scores.
        repeats: presentations of each image, which are averaged.
        initial: ``random`` codes, or those of the best ``natural`` images of each neuron.
        seed: draws are keyed by (seed, neuron).
        checkpoint: where the state is saved; an existing state is resumed.
        progress: wraps the loop over rounds, such as a progress bar.

    Returns:
        A dataset of kind ``evolution``.

    Raises:
        V4eggError: a setting is impossible; see :class:`~v4egg.xdream.evolution.Evolution` and
            :func:`~v4egg.xdream.optimizers.make_optimizer`.
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
    if spikes is not None:  # z-scored responses are shifted so that no natural image has a negative spike count
        offset = np.maximum(-np.nanmin(natural_responses, 0), 0)
        noise = PoissonSpikes(keys, spikes / np.where(best + offset > 0, best + offset, spikes), repeats, offset)
    with neurons.reduced_precision():
        evolve(evolution, image_generator, neurons, noise=noise, checkpoint=checkpoint, progress=progress)
    images = torch.cat([image_generator(codes) for codes in torch.from_numpy(evolution.best_code).split(64)])
    history = {name: rows.T for name, rows in evolution.history.items()}
    curves = {name: (("neuron", "round"), history[name]) for name in ("best", "mean", "noiseless")}
    with torch.no_grad():  # reported responses are in full precision
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
    """Codes of the natural images with the highest responses of each neuron.

    Args:
        image_generator: encodes the images.
        natural: uint8 images (n, C, y, x), one array per session.
        responses: of each neuron to all images (n, N); NaN where an image was not presented.
        population: images per neuron.

    Returns:
        Codes (N, population, D), best image first.

    Raises:
        V4eggError: there are fewer images than the population, or the generator cannot encode images.
    """
    if len(responses) < population:
        raise V4eggError(f"evolution: {len(responses)} natural images for a population of {population}; use more")
    best = np.argsort(-np.nan_to_num(responses, nan=-np.inf), axis=0)[:population].T
    distinct, position = np.unique(best, return_inverse=True)
    blocks = [(block, i) for block, images in enumerate(natural) for i in range(len(images))]
    channels, side, _ = image_generator.shape
    fitted = [conform(natural[b][i : i + 1], side, channels) for b, i in (blocks[image] for image in distinct)]
    codes = torch.cat(
        [image_generator.encode(part.to(image_generator.device)) for part in to_float(np.concatenate(fitted)).split(64)]
    )
    return codes.cpu().numpy()[position.reshape(best.shape)]


def experiment_neurons(
    options: Mapping[str, Any],
    units: Sequence[str],
    ensemble: Ensemble | None,
    external: Sequence[UnitModel],
    probe: np.ndarray,
    seed: int,
) -> NeuronGroup:
    """The neurons of a condition of the experiment.

    Args:
        options: ``neurons`` (external, encoder or hidden); ``units``, the largest number of external or encoder
            neurons; ``layers`` and ``channels`` of hidden ones.
        units: unit ids to choose from.
        ensemble: the encoders, except for ``external``; hidden units are those of their first member.
        external: models of the external judges, for ``external``.
        probe: uint8 images (n, C, y, x); hidden units that respond to none of them are left out.
        seed: of the random choice.

    Raises:
        V4eggError: there is no such neuron, or no ensemble where one is needed.
    """
    if options["neurons"] == "external":
        available = {unit for model in external for unit in model.units}
        return external_neurons(
            external, _random_units([unit for unit in units if unit in available], options["units"], seed)
        )
    if ensemble is None:
        raise V4eggError(f"evolution: neurons '{options['neurons']}' need encoders; give an architecture")
    if options["neurons"] == "encoder":
        return encoder_neurons(ensemble, _random_units(units, options["units"], seed))
    member = ensemble.members[0]
    return hidden_neurons(member, options["channels"], options["layers"], seed, to_float(probe[:PROBES]))


def _random_units(units: Sequence[str], count: int, seed: int) -> list[str]:
    """At most ``count`` of the units, in their order."""
    chosen = numpy_generator(seed, "evolution units").permutation(len(units))[:count]
    return [units[i] for i in sorted(chosen.tolist())]


def external_neurons(external: Sequence[UnitModel], units: Sequence[str]) -> NeuronGroup:
    """The units that external judges predict, as predicted by these; grouped by session.

    Args:
        external: models of the external judges.
        units: unit ids.

    Raises:
        V4eggError: no external judge predicts any of the units.
    """
    groups = {}
    for model in external:
        for session, names in by_session([unit for unit in units if unit in set(model.units)]).items():
            groups[session] = ModelUnits(model, names)
    if not groups:
        raise V4eggError("evolution: no external judge predicts a target unit; set neurons to encoder or hidden")
    return NeuronGroup(groups)


def encoder_neurons(ensemble: Ensemble, units: Sequence[str]) -> NeuronGroup:
    """The units of an ensemble, as predicted by it; grouped by session."""
    return NeuronGroup({session: ModelUnits(ensemble, names) for session, names in by_session(units).items()})


def hidden_neurons(network: nn.Module, channels: int, layers: int, seed: int, probe: Tensor) -> NeuronGroup:
    """Random hidden units of layers that are evenly spaced over the depth of a network; grouped by layer.

    Args:
        network: takes images (B, C, y, x) in [0, 1].
        channels: units per layer.
        layers: number of layers.
        seed: of the random choice.
        probe: images (n, C, y, x); channels that respond to none of them are left out, since evolved responses are
            divided by natural ones.

    Raises:
        V4eggError: no unit responds to any of the images.
    """
    names = rectified_layers(network)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(layers, len(names))).round().astype(int))]
    groups = {}
    for layer in chosen:
        active = np.flatnonzero(HiddenUnits(network, layer, [0]).output(probe).amax(0).cpu().numpy() > 0)
        selected = numpy_generator(seed, "hidden units", layer).permutation(active)[:channels]
        if len(selected):
            groups[layer] = HiddenUnits(network, layer, sorted(selected.tolist()))
    if not groups:
        raise V4eggError("evolution: no hidden unit responds to natural images; train the encoders longer")
    return NeuronGroup(groups)


def responses_to_natural(
    neurons: NeuronGroup, sessions: Mapping[str, np.ndarray], cached: Mapping[str, xr.DataArray]
) -> np.ndarray:
    """Responses of all neurons to the images of all sessions.

    Args:
        neurons: N neurons.
        sessions: session -> uint8 images (n, C, y, x).
        cached: session -> responses (image, unit) that have been computed before; the session's images are then used
            for its own units only.

    Returns:
        Responses (n, N) to the images of one session after another; NaN for units that the cached responses lack.
    """
    parts = []
    for session, images in sessions.items():
        if session not in cached:
            parts.append(all_responses(neurons, to_float(images)))
            continue
        table = cached[session].reindex(unit=neurons.names)
        parts.append(table.transpose("image", "unit").values)
    return np.concatenate(parts)
