"""Responses of presentations, sorted by image and repeat."""

from collections.abc import Sequence

import numpy as np

from v4egg.errors import V4eggError

_SURPRISING = 30.0  # spikes that are missing where all units are silent, which chance does not explain


def occurrence(labels: np.ndarray) -> np.ndarray:
    """How often each label occurred before.

    Example:
        >>> occurrence(np.array([3, 5, 3, 3])).tolist()
        [0, 0, 1, 2]
    """
    order = np.argsort(labels, kind="stable")
    _, start, count = np.unique(labels[order], return_index=True, return_counts=True)
    result = np.empty(len(labels), "int64")
    result[order] = np.arange(len(labels)) - np.repeat(start, count)
    return result


def by_image(values: np.ndarray, image: np.ndarray, images: int) -> np.ndarray:
    """Responses of presentations as an array of repeats.

    Args:
        values: (presentation, unit).
        image: (presentation,), position of the image on the image axis.
        images: number of images.

    Returns:
        float32 (image, repeat, unit): repeats in the order of the presentations, NaN where an image has fewer of them.

    Example:
        >>> by_image(np.array([[1.0], [2.0], [3.0]]), np.array([1, 0, 1]), 2)[..., 0]
        array([[ 2., nan],
               [ 1.,  3.]], dtype=float32)
    """
    repeat = occurrence(image)
    result = np.full((images, int(repeat.max(initial=-1)) + 1, values.shape[1]), np.nan, "float32")
    result[image, repeat] = values
    return result


def missing_responses(counts: np.ndarray, where: str) -> list[str]:
    """What a user should know of responses that are missing, in at most one line.

    Args:
        counts: (image, repeat, unit).
        where: the file.

    Example:
        >>> missing_responses(np.array([[[1.0, 2.0]], [[3.0, np.nan]]]), "counts.npy")
        ['counts.npy: 1 of 2 units have no response to some of the 2 images']
    """
    lost = int((~np.isfinite(counts).any(axis=1)).any(axis=0).sum())
    if not lost:
        return []
    return [f"{where}: {lost} of {counts.shape[2]} units have no response to some of the {len(counts)} images"]


def check_padding(counts: np.ndarray, image_ids: Sequence[str], where: str) -> None:
    """Refuse zeros that stand for repeats that were not shown.

    Args:
        counts: (image, repeat, unit), spikes per window or other responses.
        image_ids: the images' names.
        where: the file, for the error.

    Raises:
        V4eggError: the last repeats of some images, but not of all, are 0 in every unit, and that is no chance.

    Example:
        >>> check_padding(np.ones((2, 3, 40)), ["a", "b"], "counts.npy")
    """
    known = np.isfinite(counts)
    silent = (np.where(known, counts, 0) == 0).all(axis=2) & known.any(axis=2)
    trailing = np.logical_and.accumulate((silent | ~known.any(axis=2))[:, ::-1], axis=1)[:, ::-1] & silent
    padded = trailing.any(axis=1)
    if not padded.any() or padded.all():
        return
    spikes = np.where(known, counts, 0).sum(axis=2)[~silent]  # of each repeat in which any unit fired
    missing = float(spikes.mean()) * trailing.sum() if len(spikes) else 0.0
    if missing < _SURPRISING:
        return
    image, repeat = np.argwhere(trailing)[0]
    raise V4eggError(
        f"{where}: {int(trailing.sum())} repeats are 0 in all {counts.shape[2]} units, at the end of "
        f"{int(padded.sum())} images, such as {image_ids[image]} from repeat {repeat + 1} on; write NaN where an image "
        "was not repeated"
    )
