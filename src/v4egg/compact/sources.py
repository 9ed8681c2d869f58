"""Compact models by where they come from, for analyses that run on any: our students, or the published models."""

from pathlib import Path

import numpy as np

from v4egg.compact.model import load_compact_models
from v4egg.compact.network import CompactModels
from v4egg.compact.published import load_published_models
from v4egg.errors import V4eggError
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import Responses
from v4egg.seeding import numpy_generator

PUBLISHED, STUDENTS = "published", "students"
NAMES = {PUBLISHED: "published_compact", STUDENTS: "students"}  # as judges


def load_models(models: str, path: str | Path, session: str, stage: str = "retrained") -> CompactModels:
    """The compact models of a session: ``published`` in their folder, or ``students`` in their store.

    Raises:
        V4eggError: no models have that name, or there are none of the session.
    """
    if models == PUBLISHED:
        return load_published_models(path, session)
    if models == STUDENTS:
        return load_compact_models(path, stage)
    raise V4eggError(f"compact models '{models}' are unknown; known: {', '.join(NAMES)}")


def held_out_images(recording: Recording, responses: Responses) -> np.ndarray:
    """The session's test images (n, c, y, x), uint8, which no model of its units was fitted to; all without a split."""
    chosen = np.asarray(responses.split) == "test"
    return recording.images[chosen] if chosen.any() else recording.images


def drawn(images: np.ndarray, count: int, *key: object) -> np.ndarray:
    """At most ``count`` of the images, drawn by key."""
    return images[np.sort(numpy_generator(*key).permutation(len(images))[:count])]
