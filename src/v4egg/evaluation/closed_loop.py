"""In-silico closed loop: synthesise images, show them to the simulated brain, and train on its noisy responses.

Two arms start from the same encoders. In each round both are shown equally many images, equally often, and both
continue training with the brain's responses: one arm is shown the images that its encoders made for the target units,
the other natural images drawn at random. What is reported is the brain's true response to the images that each arm's
encoders make, so the arms differ in what they have learned and in nothing else (after Bashivan, Kar & DiCarlo 2019 and
Walker et al. 2019, who closed the loop once).
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
from v4egg.simulation.session import GAIN_SD
from v4egg.stats.metrics import normalized_activation

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
    progress: Callable = iter,
) -> xr.Dataset:
    """Run both arms of the in-silico closed loop.

    Args:
        members: trained encoders, which both arms start from.
        brain: simulates the units of ``responses``.
        sessions: what the members were trained on, the brain's session among them.
        responses: of the brain's session, for the scale of the training targets.
        images: uint8 (n, c, y, x), that session's natural images, for the scale of the result.
        units: target unit ids.
        synthesise: (ensemble, round) -> images (unit, sample, c, y, x) in [0, 1]; draws differ between rounds only.
        natural: uint8 (m, c, y, x) natural images never shown before, at least rounds x units x samples.
        options: those of :func:`v4egg.encoders.training.train_member`, with ``epochs`` and ``learning_rate`` of each
            training, and ``rounds``, ``repeats`` (presentations of each image) and ``oversample`` (times that an epoch
            passes a new image).
        seed: keys the brain's noise and the order of training.

    Returns:
        Kind ``closed_loop``, dims (arm, round, unit) with rounds + 1 rounds: ``activation`` (the brain's true response
        to the unit's image, the sample that the arm's encoders rate highest), ``predicted`` (by those encoders),
        ``normalized_activation`` (0 the mean natural image of the session, 1 the one that the first encoders
        select), ``image``; and ``presentations`` (round), shown to each arm until then.

    Raises:
        V4eggError: there is no target unit.
    """
    if not units:
        raise V4eggError(
            f"closed loop: no target unit is of session {responses.session}; set targets.sessions or rounds 0"
        )
    place = [session.session for session in sessions].index(responses.session)
    arms = {arm: (list(members), list(sessions)) for arm in ARMS}
    mean, best = _natural_scale(Ensemble(list(members)), brain, images, units)
    made: dict[str, list[tuple]] = {arm: [] for arm in ARMS}
    shown = 0
    for round_index in progress(range(options["rounds"] + 1)):
        for arm, (encoders, data) in arms.items():
            if round_index == 0 and arm == NATURAL:
                made[arm].append(made[SYNTHESISED][0])  # the same encoders and draws: the same images
            else:
                made[arm].append(_round(Ensemble(encoders), brain, units, synthesise, round_index))
            if round_index == options["rounds"]:
                continue
            samples = made[arm][-1][0]
            new = to_uint8(samples.flatten(0, 1))
            if arm == NATURAL:
                new = natural[shown : shown + len(new)]
            counts = present(brain, new, responses, options["repeats"], (seed, "closed loop", arm, round_index))
            data = [*data[:place], with_new(data[place], new, counts, responses, options), *data[place + 1 :]]
            key = (seed, "closed loop", arm, round_index)
            arms[arm] = [_trained_on(m, data, options, seed_of(*key, i)) for i, m in enumerate(encoders)], data
        shown += made[SYNTHESISED][-1][0].flatten(0, 1).shape[0]
    each = shown // (options["rounds"] + 1)
    presentations = np.arange(options["rounds"] + 1) * each * options["repeats"]
    return _dataset(made, units, mean, best, presentations)


@torch.no_grad()
def present(brain: SimulatedBrain, images: np.ndarray, responses: Responses, repeats: int, key: tuple) -> np.ndarray:
    """Spike counts (image, repeat, unit) of the selected units of ``responses``: Poisson, with the gain of the trial.

    ``images`` are uint8. A unit that is not the brain's, and so ignores the image, fires at its mean rate.
    """
    units = responses.selected_units
    known = {unit: i for i, unit in enumerate(brain.units)}
    expected = np.tile(responses.mean_count[responses.selected].astype(float), (len(images), 1))
    columns = [i for i, unit in enumerate(units) if unit in known]
    index = torch.tensor([known[units[i]] for i in columns])
    expected[:, columns] = brain(to_float(images), index).double().numpy()
    generator = numpy_generator(*key)
    gain = np.exp(generator.normal(-(GAIN_SD**2) / 2, GAIN_SD, (len(images), repeats, 1)))
    return generator.poisson(expected[:, None] * gain).astype(np.float32)


def _round(
    ensemble: Ensemble, brain: SimulatedBrain, units: Sequence[str], synthesise: Synthesise, round_index: int
) -> tuple:
    """All samples (unit, sample, c, y, x), the one that the ensemble rates highest, its predicted and true response."""
    samples = torch.from_numpy(synthesise(ensemble, round_index))
    own, true = ensemble.index(units), torch.tensor([brain.units.index(unit) for unit in units])
    with torch.no_grad():
        predicted = torch.stack([ensemble.paired(samples[:, s], own) for s in range(samples.shape[1])], 1)
        picked = samples[torch.arange(len(units)), predicted.argmax(1)]
        return samples, picked.numpy(), predicted.amax(1).numpy(), brain.paired(picked, true).numpy()


def with_new(
    session: TrainingSession, images: np.ndarray, counts: np.ndarray, responses: Responses, options: Mapping[str, Any]
) -> TrainingSession:
    """The session with new training images uint8 (n, c, y, x), each ``oversample`` times an epoch.

    ``counts`` (n, repeat, unit) are the responses of its units; targets are scaled as the session's own.
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
        trials=np.concatenate([session.trials, np.full(len(images), counts.shape[1], np.float32)]),
        train=np.concatenate([session.train, np.tile(rows, options["oversample"])]),
    )


def _trained_on(member: Encoder, data: Sequence[TrainingSession], options: Mapping, seed: int) -> Encoder:
    architecture = {name: member.spec[name] for name in ("core", "readout")}
    trained, _ = train_member(data, architecture, options, seed, start=member)
    encoder = cast(Encoder, trained)  # a network without groups stays one
    for name in ("arch", "member", "role"):
        setattr(encoder, name, getattr(member, name))
    return encoder.requires_grad_(False)


@torch.no_grad()
def _natural_scale(
    ensemble: Ensemble, brain: SimulatedBrain, images: np.ndarray, units: Sequence[str]
) -> tuple[np.ndarray, ...]:
    """The brain's mean response (unit,) to natural images, and to the one that the ensemble rates highest."""
    own, true = ensemble.index(units), torch.tensor([brain.units.index(unit) for unit in units])
    batches = to_float(images).split(64)
    selected = torch.cat([ensemble(batch, own) for batch in batches]).argmax(0)
    truth = torch.cat([brain(batch, true) for batch in batches])
    return truth.mean(0).numpy(), truth[selected, torch.arange(len(units))].numpy()


def _dataset(
    made: Mapping[str, list[tuple]], units: Sequence[str], mean: np.ndarray, best: np.ndarray, presentations: np.ndarray
) -> xr.Dataset:
    dims = ("arm", "round", "unit")

    def gathered(part: int) -> np.ndarray:
        return np.stack([np.stack([result[part] for result in made[arm]]) for arm in ARMS])

    activation = gathered(3)
    return xr.Dataset(
        {
            "activation": (dims, activation),
            "predicted": (dims, gathered(2)),
            "normalized_activation": (dims, normalized_activation(activation, mean, best)),
            "image": ((*dims, "channel", "y", "x"), gathered(1)),
            "presentations": ("round", presentations),
        },
        {"arm": list(ARMS), "unit": np.asarray(list(units), object)},
    )
