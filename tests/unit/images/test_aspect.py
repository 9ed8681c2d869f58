"""Images that are not square are refused, cropped or padded, and never squashed."""

import numpy as np
import pytest

from v4egg.errors import V4eggError
from v4egg.images.aspect import square

WIDE = np.arange(2 * 3 * 4 * 7, dtype=np.uint8).reshape(2, 3, 4, 7)


def test_square_images_stay_as_they_are():
    assert square(WIDE[..., :4], None, 0.5, "s") is not None
    np.testing.assert_array_equal(square(WIDE[..., :4], None, 0.5, "s"), WIDE[..., :4])


def test_the_central_square():
    np.testing.assert_array_equal(square(WIDE, "crop", 0.5, "s"), WIDE[..., 1:5])
    tall = WIDE.swapaxes(-1, -2)
    np.testing.assert_array_equal(square(tall, "crop", 0.5, "s"), tall[..., 1:5, :])


def test_bars_of_the_background():
    padded = square(WIDE, "pad", 0.2, "s")
    assert padded.shape == (2, 3, 7, 7)
    np.testing.assert_array_equal(padded[..., 1:5, :], WIDE)
    assert (padded[..., [0, 5, 6], :] == 51).all()


def test_without_a_rule_both_ways_are_named():
    with pytest.raises(V4eggError, match=r"s: images are 7 x 4 px .* images.aspect to crop .* or to pad"):
        square(WIDE, None, 0.5, "s")
