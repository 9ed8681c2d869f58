"""Loading of compact models by their source: our students or the published models, for analyses that run on both."""

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
JUDGE_NAMES = {PUBLISHED: "published_compact", STUDENTS: "students"}  # model source -> name as a judge


def load_models(model_source: str, path: str | Path, session: str, stage: str = "retrained") -> CompactModels:
    """Load the compact models of a session.

    Args:
        model_source: ``published`` or ``students``.
        path: the folder of the published models, or the ``compact`` store of the students.
        session: session id such as ``s190923``.
        stage: of the students, see :func:`v4egg.compact.model.load_compact_models`.

    Raises:
        V4eggError: the source is unknown, or has no models of the session.
    """
    if model_source == PUBLISHED:
        return load_published_models(path, session)
    if model_source == STUDENTS:
        return load_compact_models(path, stage)
    raise V4eggError(f"compact models '{model_source}' are unknown; known: {', '.join(JUDGE_NAMES)}")


def held_out_images(recording: Recording, responses: Responses) -> np.ndarray:
    """The session's test images, uint8 (n, c, y, x), which no model of its units was fitted to; all if it has none."""
    test = np.asarray(responses.split) == "test"
    return recording.images[test] if test.any() else recording.images


def random_subset(images: np.ndarray, count: int, *key: object) -> np.ndarray:
    """At most ``count`` of the images (n, ...), in their order; the choice depends on ``key`` alone.

    >>> random_subset(np.arange(5), 3, "key").tolist()
    [2, 3, 4]
    """
    return images[np.sort(numpy_generator(*key).permutation(len(images))[:count])]
