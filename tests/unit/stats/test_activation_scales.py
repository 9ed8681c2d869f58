"""Scales of activation: reference values, and no value where the reference gives no scale."""

import numpy as np
import pytest

from v4egg.stats import activation_scales


def test_normalized_activation():
    np.testing.assert_allclose(activation_scales.normalized_activation([1, 3, 5], 1, 3), [0, 1, 2])
    found = activation_scales.normalized_activation(np.ones((2, 3)), [0, 1, 2], [2, 1, 1])
    np.testing.assert_allclose(found, [[0.5, np.nan, np.nan]] * 2)


@pytest.mark.parametrize(
    "share",
    [
        activation_scales.evolved_over_natural,
        activation_scales.fraction_of_gradient_ascent,
        activation_scales.response_retained,
    ],
)
def test_shares_of_a_response_have_no_scale_where_the_reference_is_not_above_0(share):
    np.testing.assert_allclose(share(np.array([3.0, 1.0, 1.0]), np.array([2.0, 0.0, -1.0])), [1.5, np.nan, np.nan])
    np.testing.assert_allclose(share(np.array([[3.0], [1.0]]), 4.0), [[0.75], [0.25]])
