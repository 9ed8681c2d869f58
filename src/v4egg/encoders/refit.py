"""Refit: each unit's weights anew in closed form, by ridge regression on what its attention picks from the feature map.

Training by gradient fits all units' weights at once and shares their values; of few images, a ridge regression for each
unit on its own makes more, above all where it also sees the channels of a frozen network themselves. Where units look
stays as it was trained, and weights shrink towards a share of the trained ones instead of towards nothing. As in
Cowley et al. 2026, readouts are linear and fitted session by session.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from v4egg.encoders.encoder import Encoder, GroupedEncoder
from v4egg.encoders.readouts import AttentionReadout
from v4egg.encoders.training_data import TrainingSession, feature_maps
from v4egg.errors import V4eggError
from v4egg.stats import metrics

PENALTIES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)  # of the squared weights, for each training image
KEPT = 0.75  # of the trained weights: of all of them too little of the training images' responses is left unexplained
BATCH = 64
ROOM = 2**25  # numbers held at once of what units pick


def refitted(
    encoder: Encoder | GroupedEncoder, sessions: Sequence[TrainingSession], progress: Callable = iter
) -> Encoder | GroupedEncoder:
    """A trained encoder with refitted weights; the encoder itself stays as it is.

    Features are z-scored over the training images, and images weigh as many trials as they have. The penalty is chosen
    for each session, by the mean correlation on its validation images.

    Args:
        encoder: trained with an attention readout.
        sessions: what it was trained on, its units in this order.

    Raises:
        V4eggError: its readout is another, or it predicts counts, which are not linear in the weights.
    """
    if isinstance(encoder, GroupedEncoder):
        parts = dict(zip(encoder.spec["core_groups"], encoder.parts, strict=True))
        own = {name: [s for s in sessions if s.units[0] in part.units] for name, part in parts.items()}
        return GroupedEncoder.of(encoder.units, {name: refitted(parts[name], own[name], progress) for name in parts})
    made = _with_free_weights(encoder)
    for session in progress(sessions):
        _fit_session(made, session)
    return made.eval().requires_grad_(False)


def _with_free_weights(encoder: Encoder) -> Encoder:
    """The same core and attention, with weights on all channels, and the frozen network's channels among them."""
    readout = encoder.spec["readout"]
    if readout["name"] != "attention" or encoder.spec["output"] != "identity":
        raise V4eggError(
            f"encoders: refit needs an attention readout trained with loss mse, not {readout['name']} with output "
            f"{encoder.spec['output']}; refit another architecture"
        )
    kept = {key: readout[key] for key in ("dim", "heads", "temperature") if key in readout}
    key_channels = encoder.readout.key.in_features
    spec = {**encoder.spec, "readout": {"name": "refitted_attention", "key_channels": key_channels, **kept}}
    if hasattr(encoder.core, "backbone"):
        spec["core"] = {**spec["core"], "concat_backbone": True}
    made = Encoder(encoder.units, spec).to(encoder.readout.bias.device).eval()
    made.core.load_state_dict(encoder.core.state_dict())
    made.readout.key.load_state_dict(encoder.readout.key.state_dict())
    with torch.no_grad():
        made.readout.query.copy_(encoder.readout.query)
        made.readout.weight.zero_()
        made.readout.weight[..., :key_channels] = _trained_weights(encoder.readout)
        made.readout.bias.copy_(encoder.readout.bias)
    return made


def _trained_weights(readout: AttentionReadout) -> Tensor:
    """The trained weights on the tokens themselves (U, heads, C): those of the values, through their projection."""
    value = readout.value.weight.unflatten(0, (readout.heads, -1))
    return torch.einsum("hdc,nhd->nhc", value, readout.feature.unflatten(-1, (readout.heads, -1)))


@torch.no_grad()
def _fit_session(encoder: Encoder, session: TrainingSession) -> None:
    units, readout = encoder.index(session.units), encoder.readout
    rows = np.concatenate([session.train, session.validation])
    train = torch.arange(len(session.train))
    target = torch.from_numpy(session.target[rows]).double()
    trials = torch.from_numpy(session.trials[session.train]).double()
    found = []
    for some in units.split(max(1, ROOM // (len(rows) * readout.weight[0].numel()))):
        picked = _picked(encoder, session, rows, some)
        for unit, seen in zip(some, picked.double().unbind(1), strict=True):
            before = KEPT * readout.weight[unit].flatten().cpu().double(), KEPT * readout.bias[unit].item()
            found.append(_ridges(seen, target[:, session.units.index(encoder.units[unit])], before, train, trials))
    predictions = torch.stack([prediction for *_, prediction in found], -1)[:, len(train) :]  # penalty, image, unit
    best = _best(predictions, session.target[session.validation])
    weights = torch.stack([weights[best] for weights, *_ in found])
    readout.weight[units] = weights.view_as(readout.weight[units]).to(readout.weight)
    readout.bias[units] = torch.stack([biases[best] for _, biases, _ in found]).to(readout.bias)


def _picked(encoder: Encoder, session: TrainingSession, rows: np.ndarray, units: Tensor) -> Tensor:
    """What the units' attention picks from the feature maps of some images (n, U, heads * C)."""
    parts = [
        encoder.readout.picked(feature_maps(encoder, session, rows[i : i + BATCH]).float(), units).flatten(2)
        for i in range(0, len(rows), BATCH)
    ]
    return torch.cat(parts).cpu()


def _ridges(
    picked: Tensor, target: Tensor, before: tuple[Tensor, float], train: Tensor, trials: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One unit's weights (penalty, feature) and biases (penalty,), and predictions (penalty, image) of all images.

    Weights are those of ``before``, and what a ridge regression makes of the target that they leave.
    """
    known = picked @ before[0] + before[1]
    target = target - known
    share = (trials / trials.sum())[:, None]
    mean = (share * picked[train]).sum(0)
    deviation = (share * (picked[train] - mean).square()).sum(0).sqrt().clamp_min(1e-6)
    z, level = (picked - mean) / deviation, (share[:, 0] * target[train]).sum()
    values, vectors = torch.linalg.eigh(z[train].T @ (share * z[train]))
    along = vectors.T @ (z[train].T @ (share[:, 0] * (target[train] - level)))
    weights = torch.stack([vectors @ (along / (values + penalty)) for penalty in PENALTIES])
    own = weights / deviation
    return before[0] + own, before[1] + level - own @ mean, known + weights @ z.T + level


def _best(predictions: Tensor, target: np.ndarray) -> int:
    """The penalty whose predictions (penalty, image, unit) correlate best with the target, on average over units."""
    scores = [np.nanmean(metrics.correlation(prediction.numpy(), target)) for prediction in predictions]
    return int(np.argmax(scores))
