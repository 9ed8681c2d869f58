"""Training data: the fit images and targets of each session, their batches, and augmented feature maps."""

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
from v4egg.images.processing import conform, to_float
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import Responses, load_responses
from v4egg.seeding import seed_of


@dataclass
class TrainingSession:
    """The training data of one session.

    Attributes:
        session: session id.
        units: ids of the U units.
        images: fit images, uint8 (n, c, y, x).
        target: responses, float32 (n, U).
        trials: number of trials of each image (n,).
        train, validation: rows of the train and validation images.
        features: outputs of a frozen network (n, view, channels, h, w); view 0 is the image itself.
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
    """The selected units of one session, with fit images only at ``size`` pixels (None: the workflow's own).

    Targets are repeat means: z-scored by the fit images for the loss ``mse``, counts for ``poisson``; ``options`` are
    those of :func:`v4egg.encoders.training.train_member`; ``features`` (image, view, channel, y, x) are those of all
    the session's images.
    """
    fit = np.flatnonzero(np.isin(responses.split, ("train", "validation")))
    mean = responses.mean()[np.ix_(fit, responses.selected)]
    if options["loss"] == "mse":
        mean = (mean - responses.mean_count[responses.selected]) / responses.sd_count[responses.selected]
    return TrainingSession(
        session=responses.session,
        units=responses.selected_units,
        images=conform(images[fit], size or options["size"], options["channels"]),
        target=mean.astype(np.float32),
        trials=np.isfinite(responses.counts[fit]).any(2).sum(1).astype(np.float32),
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
    """The sessions in these stores as an architecture sees them; no features where it has no frozen network."""
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
    """Batches of one session in an epoch; one that is smaller than a batch is a batch."""
    return max(1, len(session.train) // batch_size)


def shuffled_batches(
    sessions: Sequence[TrainingSession], batch_size: int, seed: int, epoch: int
) -> list[tuple[TrainingSession, np.ndarray]]:
    """The batches of an epoch, each the rows of one session's images; their order depends on seed and epoch alone."""
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
    """The core's feature map for some images, which are augmented where training ``options`` are given.

    ``change`` is what happens to augmented images (B, C, y, x) before the encoder sees them; stored features of a
    frozen network are past it.
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
    """Shift each image at random by up to ``shift`` pixels (edges repeat) and add Gaussian pixel noise."""
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
