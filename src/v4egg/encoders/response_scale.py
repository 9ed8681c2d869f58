"""Recorded responses in the units of an encoder's predictions: z-scores or spikes per window."""

from collections.abc import Sequence

import numpy as np

from v4egg.encoders.encoder import Encoder, GroupedEncoder
from v4egg.recordings.responses import Responses


def recorded_responses(responses: Responses, encoder: Encoder | GroupedEncoder) -> np.ndarray:
    """Repeat means (image, selected unit), float32, in the units of the encoder's predictions.

    Args:
        responses: of one session.
        encoder: predicts z-scores or spikes per window.
    """
    values = responses.zscored() if _zscored(encoder) else responses.mean()
    return values[:, responses.selected]


def deviations(sessions: Sequence[Responses], encoder: Encoder | GroupedEncoder) -> dict[str, float]:
    """Standard deviation over fit images by unit id, in the units of the encoder's predictions."""
    sd: dict[str, float] = {}
    for responses in sessions:
        chosen = np.flatnonzero(responses.selected)
        sd |= {responses.units[i]: 1.0 if _zscored(encoder) else float(responses.sd_count[i]) for i in chosen}
    return sd


def _zscored(encoder: Encoder | GroupedEncoder) -> bool:
    return encoder.spec["output"] == "identity"
