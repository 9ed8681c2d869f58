"""One rule for which judge is the most independent."""

import pytest

from v4egg.evaluation.independence import most_independent


@pytest.mark.parametrize(
    ("shares_weights", "expected"),
    [
        ({"generators": True, "validators": False}, "validators"),
        ({"generators": True, "across": False, "validators": False}, "across"),
        ({"generators": True, "simulated_brain": False, "across": False}, "simulated_brain"),
        ({"generators": True, "validators": False, "across": True}, "validators"),
        ({"generators": True, "one": False, "two": False}, "two"),
        ({"generators": False}, None),
        ({"generators": True, "validators": True}, None),
    ],
)
def test_the_most_independent_judge(shares_weights, expected):
    assert most_independent(shares_weights) == expected
