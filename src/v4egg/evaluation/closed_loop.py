"""In-silico closed loop: synthesise images, present them to the simulated brain, and train on its noisy responses.

Two arms start from the same encoders. In each round, the same number of images is presented equally often in both arms,
and the encoders of both continue training with the brain's responses. The images are synthesised for the target units
by the encoders of the first arm, and random natural images in the second. The outcome is the brain's true response to
the images that are synthesised with each arm's encoders, so that the arms differ only in the data on which their
encoders were trained (after Bashivan, Kar & DiCarlo 2019 and Walker et al. 2019, who closed the loop once).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
import xarray as xr

from v4egg.encoders.encoder import Encoder
from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.training import train_member
from v4egg.encoders.training_data import TrainingSession
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float, to_uint8
from v4egg.recordings.responses import Responses
from v4egg.seeding import numpy_generator, seed_of
from v4egg.simulation.brain import SimulatedBrain
from v4egg.simulation.spikes import GAIN_SD
from v4egg.stats.activation_scales import normalized_activation

SYNTHESISED, NATURAL = "synthesised", "natural"
ARMS = (SYNTHESISED, NATURAL)
Synthesise = Callable[[Ensemble, int], np.ndarray]


def closed_loop(
    members: Sequence[Encoder],
    brain: SimulatedBrain,
    sessions: Sequence[TrainingSession],
    responses: Responses,
    images: np.ndarray,
    units: Sequence[str],
    synthesise: Synthesise,
    natural: np.ndarray,
    options: Mapping[str, Any],
    *,
    seed: int = 0,
    progress: Callable[..., Any] = iter,
) -> xr.Dataset:
    """Run both arms of the in-silico closed loop.

    Args:
        members: trained encoders from which both arms start.
        brain: the simulated brain of the units of ``responses``.
        sessions: the training data of the members, including those of the brain's session.
        responses: the responses of the brain's session, which scale the training targets.
        images: natural images of the brain's session, uint8 (image, channel, y, x), which normalize the result.
        units: ids of the target units, which the brain simulates.
        synthesise: function of an ensemble and the round that returns images in [0, 1] (unit, sample, channel, y, x);
            its random numbers depend on the round but not on the arm.
        natural: natural images that are new to the members, uint8 (image, channel, y, x), at least
            rounds x units x samples.
        options: the options of :func:`v4egg.encoders.training.train_member`, with ``epochs`` and ``learning_rate`` of
            the training in each round; and ``rounds``, ``repeats`` (presentations of each image) and ``oversample``
            (number of times that each epoch contains a new image).
        seed: seed of the brain's noise and of the training.
        progress: wraps the loop over rounds, for example in a progress bar.

    Returns:
        A dataset of kind ``closed_loop`` with dims (arm, round, unit), including round 0 before any training. For each
        unit, ``image`` is the sample with the highest prediction of the arm's encoders, ``predicted`` that prediction
        and ``activation`` the brain's true response (expected spikes per counting window). In
        ``normalized_activation``, 0 is the mean response to the session's natural images, and 1 the response to the
        natural image that the initial encoders select. ``presentations`` (round) counts the presentations per arm
        before the round.

    Raises:
        V4eggError: there is no target unit.
    """
    if not units:
        raise V4eggError(
            f"closed loop: no target unit is of session {responses.session}; set targets.sessions or rounds 0"
        )
    index = [session.session for session in sessions].index(responses.session)
    arms = {arm: (list(members), list(sessions)) for arm in ARMS}
    mean, best = _natural_scale(Ensemble(list(members)), brain, images, units)
    results: dict[str, list[tuple[Any, ...]]] = {arm: [] for arm in ARMS}
    n_presented = 0
    for round_index in progress(range(options["rounds"] + 1)):
        for arm, (encoders, data) in arms.items():
            if round_index == 0 and arm == NATURAL:
                results[arm].append(results[SYNTHESISED][0])  # same encoders and random numbers, hence same images
            else:
                results[arm].append(_round(Ensemble(encoders), brain, units, synthesise, round_index))
            if round_index == options["rounds"]:
                continue
            samples = results[arm][-1][0]
            new = to_uint8(samples.flatten(0, 1))
            if arm == NATURAL:
                new = natural[n_presented : n_presented + len(new)]
            counts = present(brain, new, responses, options["repeats"], (seed, "closed loop", arm, round_index))
            data = [*data[:index], with_new(data[index], new, counts, responses, options), *data[index + 1 :]]
            key = (seed, "closed loop", arm, round_index)
            arms[arm] = [_trained_on(m, data, options, seed_of(*key, i)) for i, m in enumerate(encoders)], data
        n_presented += results[SYNTHESISED][-1][0].flatten(0, 1).shape[0]
    per_round = n_presented // (options["rounds"] + 1)
    presentations = np.arange(options["rounds"] + 1) * per_round * options["repeats"]
    return _dataset(results, units, mean, best, presentations)


@torch.no_grad()
def present(
    brain: SimulatedBrain, images: np.ndarray, responses: Responses, repeats: int, key: tuple[Any, ...]
) -> np.ndarray:
    """Simulate the presentation of images: Poisson spike counts with a log-normal gain shared by the units of a trial.

    Units that the brain does not simulate do not depend on the image and have their mean count as expected value.

    Args:
        brain: the simulated brain.
        images: uint8 (image, channel, y, x).
        responses: the responses of the session, whose selected units are simulated.
        repeats: number of presentations of each image.
        key: key of the random numbers, see :func:`v4egg.seeding.numpy_generator`.

    Returns:
        Spike counts per counting window, float32 (image, repeat, unit).
    """
    units = responses.selected_units
    brain_index = {unit: i for i, unit in enumerate(brain.units)}
    expected = np.tile(responses.mean_count[responses.selected].astype(float), (len(images), 1))
    columns = [i for i, unit in enumerate(units) if unit in brain_index]
    index = torch.tensor([brain_index[units[i]] for i in columns])
    expected[:, columns] = brain(to_float(images), index).double().numpy()
    generator = numpy_generator(*key)
    gain = np.exp(generator.normal(-(GAIN_SD**2) / 2, GAIN_SD, (len(images), repeats, 1)))
    return generator.poisson(expected[:, None] * gain).astype(np.float32)


def _round(
    ensemble: Ensemble, brain: SimulatedBrain, units: Sequence[str], synthesise: Synthesise, round_index: int
) -> tuple[Any, ...]:
    """Synthesise the images of one round.

    Returns:
        All samples (unit, sample, channel, y, x), the sample with the highest prediction for each unit
        (unit, channel, y, x), that prediction (unit,) and the brain's true response to it (unit,).
    """
    samples = torch.from_numpy(synthesise(ensemble, round_index))
    ensemble_index, brain_index = ensemble.index(units), torch.tensor([brain.units.index(unit) for unit in units])
    with torch.no_grad():
        predicted = torch.stack([ensemble.paired(samples[:, s], ensemble_index) for s in range(samples.shape[1])], 1)
        best = samples[torch.arange(len(units)), predicted.argmax(1)]
        return samples, best.numpy(), predicted.amax(1).numpy(), brain.paired(best, brain_index).numpy()


def with_new(
    session: TrainingSession, images: np.ndarray, counts: np.ndarray, responses: Responses, options: Mapping[str, Any]
) -> TrainingSession:
    """Add train images and their responses to the training data of a session.

    Args:
        session: the training data.
        images: the new images, uint8 (image, channel, y, x).
        counts: spike counts (image, repeat, unit) of the units of ``session`` for the new images.
        responses: the responses of the session, which scale the new targets as the existing ones.
        options: ``loss``, and ``oversample``, the number of times that each epoch contains a new image.

    Returns:
        A copy of the training data with the new images.
    """
    target = counts.mean(1)
    if options["loss"] == "mse":
        target = (target - responses.mean_count[responses.selected]) / responses.sd_count[responses.selected]
    rows = len(session.images) + np.arange(len(images))
    side, channels = session.images.shape[-1], session.images.shape[1]
    return replace(
        session,
        images=np.concatenate([session.images, conform(images, side, channels)]),
        target=np.concatenate([session.target, target.astype(np.float32)]),
        trials=np.concatenate([session.trials, np.full(target.shape, counts.shape[1], np.float32)]),
        train=np.concatenate([session.train, np.tile(rows, options["oversample"])]),
    )


def _trained_on(member: Encoder, data: Sequence[TrainingSession], options: Mapping[str, Any], seed: int) -> Encoder:
    """A copy of a member whose training is continued on ``data``."""
    architecture = {name: member.spec[name] for name in ("core", "readout")}
    result, _ = train_member(data, architecture, options, seed, start=member)
    encoder = cast(Encoder, result)  # the architecture has no core groups
    for name in ("arch", "member", "role"):
        setattr(encoder, name, getattr(member, name))
    return encoder.requires_grad_(False)


@torch.no_grad()
def _natural_scale(
    ensemble: Ensemble, brain: SimulatedBrain, images: np.ndarray, units: Sequence[str]
) -> tuple[np.ndarray, ...]:
    """The brain's responses (unit,) to natural images: their mean, and that to the image the ensemble selects."""
    ensemble_index, brain_index = ensemble.index(units), torch.tensor([brain.units.index(unit) for unit in units])
    batches = to_float(images).split(64)
    selected = torch.cat([ensemble(batch, ensemble_index) for batch in batches]).argmax(0)
    true = torch.cat([brain(batch, brain_index) for batch in batches])
    return true.mean(0).numpy(), true[selected, torch.arange(len(units))].numpy()


def _dataset(
    results: Mapping[str, list[tuple[Any, ...]]],
    units: Sequence[str],
    mean: np.ndarray,
    best: np.ndarray,
    presentations: np.ndarray,
) -> xr.Dataset:
    """The dataset of :func:`closed_loop` from the results of :func:`_round` for each arm and round."""
    dims = ("arm", "round", "unit")

    def stacked(part: int) -> np.ndarray:
        return np.stack([np.stack([result[part] for result in results[arm]]) for arm in ARMS])

    activation = stacked(3)
    return xr.Dataset(
        {
            "activation": (dims, activation),
            "predicted": (dims, stacked(2)),
            "normalized_activation": (dims, normalized_activation(activation, mean, best)),
            "image": ((*dims, "channel", "y", "x"), stacked(1)),
            "presentations": ("round", presentations),
        },
        {"arm": list(ARMS), "unit": np.asarray(list(units), object)},
    )
