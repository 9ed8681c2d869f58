"""Scales of activation: one definition of each quantity that images are compared by."""

import numpy as np
from numpy.typing import ArrayLike

from v4egg.stats.missing import floats, ratio


def normalized_activation(
    activation: ArrayLike, mean_natural: ArrayLike, model_selected_natural: ArrayLike
) -> np.ndarray:
    """Activation on a scale where 0 is the mean natural image and 1 a reference natural image.

    The scale is (a - mean natural) / (reference natural - mean natural); all arguments are responses of one judge and
    broadcast against each other.

    Args:
        activation: a, the judge's response to an image.
        mean_natural: the judge's mean response to natural images.
        model_selected_natural: the judge's response to the reference, usually the natural image that the generators
            select.

    Returns:
        The broadcast shape; NaN where the reference does not exceed the mean, because the scale is then not defined.

    Example:
        >>> normalized_activation([3.0, 5.0, 9.0], mean_natural=3.0, model_selected_natural=5.0)
        array([0., 1., 3.])
    """
    base = floats(mean_natural)
    span = floats(model_selected_natural) - base
    return ratio(floats(activation) - base, np.where(span > 0, span, np.nan))


def evolved_over_natural(evolved: ArrayLike, best_natural: ArrayLike) -> np.ndarray:
    """Response to the best evolved image divided by the response to the best natural image.

    Shapes broadcast; NaN where the response to the natural image is not above 0.

    Source:
        Xiao & Kreiman 2020 (PLoS Comput Biol 16:e1007973), who call it relative activation.

    Example:
        >>> evolved_over_natural([3.0, 3.0], [2.0, 0.0])
        array([1.5, nan])
    """
    return ratio(floats(evolved), floats(best_natural))


def fraction_of_gradient_ascent(activation: ArrayLike, gradient_ascent: ArrayLike) -> np.ndarray:
    """Activation divided by that of the images that gradient ascent makes with the same generators.

    Shapes broadcast; NaN where gradient ascent does not reach an activation above 0.

    Example:
        >>> fraction_of_gradient_ascent([4.0], [5.0])
        array([0.8])
    """
    return ratio(activation, gradient_ascent)


def response_retained(response: ArrayLike, before: ArrayLike) -> np.ndarray:
    """Share of a response that remains after a change, such as an ablation.

    Shapes broadcast; NaN where the response was not above 0 before.

    Example:
        >>> response_retained([1.0], [4.0])
        array([0.25])
    """
    return ratio(response, before)
