"""Training data: fit images and targets of each session, batches, and feature maps of augmented images."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from v4egg.device import device_of
from v4egg.encoders.encoder import Encoder
from v4egg.encoders.frozen_features import load_features
from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import Responses, load_responses
from v4egg.seeding import seed_of


@dataclass
class TrainingSession:
    """The training data of one session.

    Attributes:
        session: session id.
        units: ids of the selected units.
        images: fit images, uint8 (image, channel, y, x).
        target: responses to the fit images, float32 (image, unit): z-scores for the loss ``mse``, spikes per counting
            window for ``poisson``; NaN where the unit was not recorded.
        trials: number of trials of each fit image in which each unit was recorded, float32 (image, unit).
        train: rows of the train images among the fit images; a repeated row is presented repeatedly in each epoch.
        validation: rows of the validation images among the fit images.
        features: stored outputs of a frozen network (image, view, channel, y, x), or None; view 0 is the image itself,
            the others are augmented versions of it.
    """

    session: str
    units: list[str]
    images: np.ndarray
    target: np.ndarray
    trials: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    features: np.ndarray | None = None


def training_session(
    images: np.ndarray,
    responses: Responses,
    options: Mapping[str, Any],
    *,
    size: int | None = None,
    features: np.ndarray | None = None,
) -> TrainingSession:
    """The training data of a session: the repeat means of its selected units for the fit images.

    Args:
        images: all images of the session, uint8 (image, channel, y, x).
        responses: the responses of the session.
        options: the options of :func:`v4egg.encoders.training.train_member`.
        size: side of the images in pixels; by default that of ``options``.
        features: stored outputs of a frozen network for all images (image, view, channel, y, x).

    Returns:
        The training data; targets are z-scored by the fit images for the loss ``mse`` and spike counts for ``poisson``.

    Raises:
        V4eggError: the loss is ``poisson`` and the responses are no counts of spikes.
    """
    if options["loss"] == "poisson" and not responses.are_counts:
        raise V4eggError(
            f"session {responses.session}: responses are {responses.response_unit}, no counts of spikes; set "
            "encoders.training.loss to mse"
        )
    fit = np.flatnonzero(np.isin(responses.split, ("train", "validation")))
    mean = responses.mean()[np.ix_(fit, responses.selected)]
    if options["loss"] == "mse":
        mean = (mean - responses.mean_count[responses.selected]) / responses.sd_count[responses.selected]
    return TrainingSession(
        session=responses.session,
        units=responses.selected_units,
        images=conform(images[fit], size or options["size"], options["channels"]),
        target=mean.astype(np.float32),
        trials=np.isfinite(responses.counts[fit][:, :, responses.selected]).sum(1).astype(np.float32),
        train=np.flatnonzero(responses.split[fit] == "train"),
        validation=np.flatnonzero(responses.split[fit] == "validation"),
        features=None if features is None else features[fit],
    )


def training_sessions(
    recordings: Sequence[str | Path],
    responses: Sequence[str | Path],
    features: Sequence[str | Path],
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[TrainingSession]:
    """Load the training data of several sessions from their stores.

    Args:
        recordings: stores of the recordings.
        responses: stores of the responses, in the same order.
        features: stores of the outputs of a frozen network, in the same order; empty for architectures without one.
        architecture: the architecture, whose ``size`` applies where there are no stored features.
        options: the options of :func:`v4egg.encoders.training.train_member`.

    Returns:
        The training data of each session.
    """
    size = None if features else architecture.get("size")
    return [
        training_session(
            load_recording(recording).images,
            load_responses(response),
            options,
            size=size,
            features=load_features(f) if f else None,
        )
        for recording, response, f in itertools.zip_longest(recordings, responses, features)
    ]


def count_batches(session: TrainingSession, batch_size: int) -> int:
    """Number of batches per epoch of a session, which is at least 1."""
    return max(1, len(session.train) // batch_size)


def shuffled_batches(
    sessions: Sequence[TrainingSession], batch_size: int, seed: int, epoch: int
) -> list[tuple[TrainingSession, np.ndarray]]:
    """The batches of an epoch in random order, which depends only on seed and epoch.

    Args:
        sessions: the training data of each session.
        batch_size: minimum number of images per batch; sessions with fewer train images form one smaller batch.
        seed: seed of the member.
        epoch: index of the epoch.

    Returns:
        For each batch, its session and the rows of its images.
    """
    rng = np.random.default_rng(seed_of(seed, "order", epoch))
    batches = []
    for session in sessions:
        order = rng.permutation(session.train)
        parts = np.array_split(order, count_batches(session, batch_size))
        batches += [(session, part) for part in parts]
    return [batches[i] for i in rng.permutation(len(batches))]


def feature_maps(
    encoder: Encoder,
    session: TrainingSession,
    rows: np.ndarray,
    options: Mapping[str, Any] | None = None,
    change: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The core's feature maps for images of a session.

    Args:
        encoder: an encoder without core groups.
        session: the training data that contain the images.
        rows: rows of the images.
        options: options of the training, whose ``shift`` and ``noise`` augment the images; None: no augmentation. Of
            stored features a random view is used instead.
        change: a function applied to the images (image, channel, y, x) after augmentation; it does not apply to stored
            features.

    Returns:
        Feature maps (image, channel, y, x) on the encoder's device.
    """
    device = device_of(encoder)
    if session.features is None:
        images = to_float(session.images[rows]).to(device)
        images = _augmented(images, encoder, options) if options else images
        return encoder.features(change(images) if change else images)
    views = torch.randint(session.features.shape[1], (len(rows),)).numpy() if options else 0
    frozen = torch.from_numpy(session.features[rows, views]).to(device, torch.float32)
    return encoder.maps(frozen.contiguous(memory_format=torch.channels_last))


def _augmented(images: Tensor, encoder: Encoder, options: Mapping[str, Any]) -> Tensor:
    """Shift each image at random by up to ``shift`` pixels, replicating its edges, and add Gaussian pixel noise."""
    size = images.shape[-1]
    shift = round(options["shift"] * size / options["size"])
    if shift:
        padded = F.pad(images, (shift,) * 4, mode="replicate")
        rows, columns = torch.randint(0, 2 * shift + 1, (2, len(images)))
        images = torch.stack(
            [image[:, r : r + size, c : c + size] for image, r, c in zip(padded, rows, columns, strict=True)]
        )
    if options["noise"]:
        images = images + options["noise"] * encoder.stimulus_spec.std * torch.randn(images.shape).to(images)
    return images
