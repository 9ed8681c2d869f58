"""Refit: each unit's weights anew in closed form, by ridge regression on what its attention picks from the feature map.

Training by gradient fits all units' weights at once and shares their values; of few images, a ridge regression for each
unit on its own makes more, above all where it also sees the channels of a frozen network themselves. Where units look
stays as it was trained, and weights shrink towards a share of the trained ones instead of towards nothing. As in
Cowley et al. 2026, readouts are linear and fitted session by session.
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

PENALTIES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)  # of the squared weights, for each training image
KEPT = 0.75  # fraction of the trained weights that ridge regression shrinks towards
BATCH = 64
MEMORY = 2**25  # numbers of picked features in memory at once


def refitted(
    encoder: Encoder | GroupedEncoder, sessions: Sequence[TrainingSession], progress: Callable[[Any], Any] = iter
) -> Encoder | GroupedEncoder:
    """A trained encoder with refitted weights; the encoder itself stays as it is.

    Features are z-scored over the training images, and images weigh as many trials as they have. The penalty is chosen
    for each session, by the mean correlation on its validation images.

    Args:
        encoder: trained with an attention readout.
        sessions: the sessions that it was trained on, with its units in this order.
        progress: wraps the loop over sessions, such as a progress bar.

    Raises:
        V4eggError: its readout is another, or it predicts counts, which are not linear in the weights.
    """
    if isinstance(encoder, Encoder):
        return _refitted_encoder(encoder, sessions, progress)
    parts = {}
    for name, part in zip(encoder.spec["core_groups"], encoder.parts, strict=True):
        of_part = [session for session in sessions if session.units[0] in part.units]
        parts[name] = _refitted_encoder(part, of_part, progress)
    return GroupedEncoder.of(encoder.units, parts)


def _refitted_encoder(encoder: Encoder, sessions: Sequence[TrainingSession], progress: Callable[[Any], Any]) -> Encoder:
    result, readout = _with_free_weights(encoder)
    for session in progress(sessions):
        _fit_session(result, readout, session)
    return result.eval().requires_grad_(False)


def _with_free_weights(encoder: Encoder) -> tuple[Encoder, RefittedAttention]:
    """An encoder with the same core and attention and weights on all channels, a frozen network's included."""
    options, trained = encoder.spec["readout"], encoder.readout
    if not isinstance(trained, AttentionReadout) or encoder.spec["output"] != "identity":
        raise V4eggError(
            f"encoders: refit needs an attention readout trained with loss mse, not {options['name']} with output "
            f"{encoder.spec['output']}; refit another architecture"
        )
    kept = {key: options[key] for key in ("dim", "heads", "temperature") if key in options}
    key_channels = trained.key.in_features
    spec = {**encoder.spec, "readout": {"name": "refitted_attention", "key_channels": key_channels, **kept}}
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
    """The trained weights on the tokens (U, heads, C): those on the values times the values' projection."""
    value = readout.value.weight.unflatten(0, (readout.heads, -1))
    return torch.einsum("hdc,nhd->nhc", value, readout.feature.unflatten(-1, (readout.heads, -1)))


@torch.no_grad()
def _fit_session(encoder: Encoder, readout: RefittedAttention, session: TrainingSession) -> None:
    """Fit the weights of a session's units in place."""
    units = encoder.index(session.units)
    rows = np.concatenate([session.train, session.validation])
    train = torch.arange(len(session.train))
    target = torch.from_numpy(session.target[rows]).double()
    trials = torch.from_numpy(session.trials[session.train]).double()
    fits = []
    for some in units.split(max(1, MEMORY // (len(rows) * readout.weight[0].numel()))):
        picked = _picked(encoder, readout, session, rows, some)
        for unit, features in zip(some, picked.double().unbind(1), strict=True):
            before = KEPT * readout.weight[unit].flatten().cpu().double(), KEPT * readout.bias[unit].item()
            fits.append(_ridges(features, target[:, session.units.index(encoder.units[unit])], before, train, trials))
    predictions = torch.stack([prediction for *_, prediction in fits], -1)[:, len(train) :]  # penalty, image, unit
    best = _best(predictions, session.target[session.validation])
    weights = torch.stack([weights[best] for weights, *_ in fits])
    readout.weight[units] = weights.view_as(readout.weight[units]).to(readout.weight)
    readout.bias[units] = torch.stack([biases[best] for _, biases, _ in fits]).to(readout.bias)


def _picked(
    encoder: Encoder, readout: RefittedAttention, session: TrainingSession, rows: np.ndarray, units: Tensor
) -> Tensor:
    """The features (n, U, heads * C) that the units' attention picks from the feature maps of some images."""
    parts = [
        readout.picked(feature_maps(encoder, session, rows[i : i + BATCH]).float(), units).flatten(2)
        for i in range(0, len(rows), BATCH)
    ]
    return torch.cat(parts).cpu()


def _ridges(
    picked: Tensor, target: Tensor, before: tuple[Tensor, float], train: Tensor, trials: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One unit's weights (penalty, feature) and biases (penalty,), and predictions (penalty, image) of all images.

    Weights are those of ``before`` plus those of a ridge regression on the residual of the target.
    """
    prediction = picked @ before[0] + before[1]
    target = target - prediction
    share = (trials / trials.sum())[:, None]
    mean = (share * picked[train]).sum(0)
    deviation = (share * (picked[train] - mean).square()).sum(0).sqrt().clamp_min(1e-6)
    z, level = (picked - mean) / deviation, (share[:, 0] * target[train]).sum()
    values, vectors = torch.linalg.eigh(z[train].T @ (share * z[train]))
    along = vectors.T @ (z[train].T @ (share[:, 0] * (target[train] - level)))
    weights = torch.stack([vectors @ (along / (values + penalty)) for penalty in PENALTIES])
    change = weights / deviation
    return before[0] + change, before[1] + level - change @ mean, prediction + weights @ z.T + level


def _best(predictions: Tensor, target: np.ndarray) -> int:
    """The penalty whose predictions (penalty, image, unit) correlate best with the target, on average over units."""
    scores = [np.nanmean(metrics.correlation(prediction.numpy(), target)) for prediction in predictions]
    return int(np.argmax(scores))
