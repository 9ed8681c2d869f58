"""Recorded responses in the units in which an encoder predicts: z-scores or spikes per window."""

from collections.abc import Sequence

import numpy as np

from v4egg.encoders.encoder import Encoder
from v4egg.recordings.responses import Responses


def recorded_responses(responses: Responses, encoder: Encoder) -> np.ndarray:
    """Repeat means of the selected units as the encoder would predict them, float32 (image, selected unit)."""
    values = responses.zscored() if _zscored(encoder) else responses.mean()
    return values[:, responses.selected]


def deviations(sessions: Sequence[Responses], encoder: Encoder) -> dict[str, float]:
    """Unit id -> sd over fit images of its response, in the encoder's units."""
    found = {}
    for responses in sessions:
        chosen = np.flatnonzero(responses.selected)
        found |= {responses.units[i]: 1.0 if _zscored(encoder) else float(responses.sd_count[i]) for i in chosen}
    return found


def _zscored(encoder: Encoder) -> bool:
    return encoder.spec["output"] == "identity"
