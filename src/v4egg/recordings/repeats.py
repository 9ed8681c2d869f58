"""Responses of presentations, sorted by image and repeat."""

import numpy as np


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
