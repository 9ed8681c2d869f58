"""Refit the readout of a trained encoder by ridge regression of each unit on the features that its attention selects.

Training by gradient descent fits the weights of all units jointly. With few images, a separate ridge regression for
each unit predicts better, especially if it also has access to the channels of a frozen network. The attention remains
as it was trained, and weights are shrunk towards a fraction of the trained weights instead of towards 0. As in Cowley
et al. 2026, readouts are linear and fitted session by session.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from v4egg.encoders.encoder import Encoder, GroupedEncoder
from v4egg.encoders.readouts import AttentionReadout, RefittedAttention
from v4egg.encoders.training_data import TrainingSession, feature_maps
from v4egg.errors import V4eggError
from v4egg.stats import metrics

PENALTIES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)  # of the squared weights, relative to the mean squared error
KEPT = 0.75  # fraction of the trained weights towards which ridge regression shrinks
BATCH = 64  # images per forward pass
MEMORY = 2**25  # maximum number of feature values in memory at once


def refitted(
    encoder: Encoder | GroupedEncoder, sessions: Sequence[TrainingSession], progress: Callable[[Any], Any] = iter
) -> Encoder | GroupedEncoder:
    """A copy of a trained encoder with refitted readout weights.

    Features are z-scored over the training images, and each image is weighted by the number of trials in which the unit
    was recorded. The penalty is
    selected for each session by the mean correlation on its validation images.

    Args:
        encoder: an encoder with an attention readout, trained with loss ``mse``.
        sessions: the sessions on which it was trained, with its units in this order.
        progress: wraps the loop over sessions, for example in a progress bar.

    Returns:
        The refitted encoder, frozen and in evaluation mode; ``encoder`` is not changed.

    Raises:
        V4eggError: the readout is not an attention readout, or the encoder predicts counts, which are not linear in
            the weights.
    """
    if isinstance(encoder, Encoder):
        return _refitted_encoder(encoder, sessions, progress)
    parts = {}
    for name, part in zip(encoder.spec["core_groups"], encoder.parts, strict=True):
        part_sessions = [session for session in sessions if session.units[0] in part.units]
        parts[name] = _refitted_encoder(part, part_sessions, progress)
    return GroupedEncoder.of(encoder.units, parts)


def _refitted_encoder(encoder: Encoder, sessions: Sequence[TrainingSession], progress: Callable[[Any], Any]) -> Encoder:
    result, readout = _with_free_weights(encoder)
    for session in progress(sessions):
        _fit_session(result, readout, session)
    return result.eval().requires_grad_(False)


def _with_free_weights(encoder: Encoder) -> tuple[Encoder, RefittedAttention]:
    """An encoder with the same core and attention, and weights on all channels including those of a frozen network."""
    options, trained = encoder.spec["readout"], encoder.readout
    if not isinstance(trained, AttentionReadout) or encoder.spec["output"] != "identity":
        raise V4eggError(
            f"encoders: refit needs an attention readout trained with loss mse, not {options['name']} with output "
            f"{encoder.spec['output']}; refit another architecture"
        )
    attention = {key: options[key] for key in ("dim", "heads", "temperature") if key in options}
    key_channels = trained.key.in_features
    spec = {**encoder.spec, "readout": {"name": "refitted_attention", "key_channels": key_channels, **attention}}
    if hasattr(encoder.core, "backbone"):
        spec["core"] = {**spec["core"], "concat_backbone": True}
    result = Encoder(encoder.units, spec).to(trained.bias.device).eval()
    result.core.load_state_dict(encoder.core.state_dict())
    readout = result.readout
    if not isinstance(readout, RefittedAttention):
        raise TypeError(f"the readout refitted_attention is a {type(readout).__name__}")
    readout.key.load_state_dict(trained.key.state_dict())
    with torch.no_grad():
        readout.query.copy_(trained.query)
        readout.weight.zero_()
        readout.weight[..., :key_channels] = _trained_weights(trained)
        readout.bias.copy_(trained.bias)
    return result, readout


def _trained_weights(readout: AttentionReadout) -> Tensor:
    """The trained weights on tokens (unit, head, channel): the weights on values times the projection to values."""
    value = readout.value.weight.unflatten(0, (readout.heads, -1))
    return torch.einsum("hdc,nhd->nhc", value, readout.feature.unflatten(-1, (readout.heads, -1)))


@torch.no_grad()
def _fit_session(encoder: Encoder, readout: RefittedAttention, session: TrainingSession) -> None:
    """Fit the weights of a session's units in place."""
    units = encoder.index(session.units)
    rows = np.concatenate([session.train, session.validation])
    train = torch.arange(len(session.train))
    target = torch.from_numpy(np.nan_to_num(session.target[rows])).double()  # what is missing has no trials
    trials = torch.from_numpy(session.trials[session.train]).double()
    fits = []
    for chunk in units.split(max(1, MEMORY // (len(rows) * readout.weight[0].numel()))):
        attended = _attended_features(encoder, readout, session, rows, chunk)
        for unit, features in zip(chunk, attended.double().unbind(1), strict=True):
            initial = KEPT * readout.weight[unit].flatten().cpu().double(), KEPT * readout.bias[unit].item()
            column = session.units.index(encoder.units[unit])
            fits.append(_ridges(features, target[:, column], initial, train, trials[:, column]))
    predictions = torch.stack([prediction for *_, prediction in fits], -1)[:, len(train) :]  # (penalty, image, unit)
    best = _best(predictions, session.target[session.validation])
    weights = torch.stack([weights[best] for weights, *_ in fits])
    readout.weight[units] = weights.view_as(readout.weight[units]).to(readout.weight)
    readout.bias[units] = torch.stack([biases[best] for _, biases, _ in fits]).to(readout.bias)


def _attended_features(
    encoder: Encoder, readout: RefittedAttention, session: TrainingSession, rows: np.ndarray, units: Tensor
) -> Tensor:
    """The features (image, unit, head * channel) that the units' attention selects from the images' feature maps."""
    parts = [
        readout.attended_features(feature_maps(encoder, session, rows[i : i + BATCH]).float(), units).flatten(2)
        for i in range(0, len(rows), BATCH)
    ]
    return torch.cat(parts).cpu()


def _ridges(
    features: Tensor, target: Tensor, initial: tuple[Tensor, float], train: Tensor, trials: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regressions of one unit's residual with each penalty, added to its initial weights.

    Args:
        features: (image, feature).
        target: (image,).
        initial: the weights (feature,) and the bias from which the residual follows.
        train: rows of the training images.
        trials: number of the unit's trials of each training image.

    Returns:
        Weights (penalty, feature), biases (penalty,), and predictions (penalty, image) for all images.
    """
    prediction = features @ initial[0] + initial[1]
    target = target - prediction
    share = (trials / trials.sum().clamp_min(1))[:, None]
    mean = (share * features[train]).sum(0)
    deviation = (share * (features[train] - mean).square()).sum(0).sqrt().clamp_min(1e-6)
    z, level = (features - mean) / deviation, (share[:, 0] * target[train]).sum()
    values, vectors = torch.linalg.eigh(z[train].T @ (share * z[train]))
    projected = vectors.T @ (z[train].T @ (share[:, 0] * (target[train] - level)))
    weights = torch.stack([vectors @ (projected / (values + penalty)) for penalty in PENALTIES])
    change = weights / deviation
    return initial[0] + change, initial[1] + level - change @ mean, prediction + weights @ z.T + level


def _best(predictions: Tensor, target: np.ndarray) -> int:
    """The penalty whose predictions (penalty, image, unit) have the highest mean correlation over units (NaN: 0)."""
    scores = [np.nan_to_num(metrics.correlation(prediction.numpy(), target)).mean() for prediction in predictions]
    return int(np.argmax(scores))
