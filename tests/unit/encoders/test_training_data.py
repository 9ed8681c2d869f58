"""Targets of training: what losses need of responses."""

import numpy as np
import pytest

from v4egg.encoders.training_data import training_session
from v4egg.errors import V4eggError
from v4egg.recordings.responses import Responses


def responses(response_unit):
    counts = np.array([[[1, 4]], [[3, 5]], [[9, 6]]], "float32")
    nan = np.full(2, np.nan, "float32")
    mean, sd = np.array([2, 4.5], "float32"), np.array([1, 0.5], "float32")
    split, selected = np.array(["train", "validation", "test"]), np.array([True, True])
    units = ["s1-u000", "s1-u001"]
    return Responses(
        "s1", ["a", "b", "c"], units, counts, split, nan, nan, mean, sd, selected, response_unit=response_unit
    )


def target(loss, response_unit):
    options = {"loss": loss, "size": 8, "channels": 1}
    return training_session(np.zeros((3, 1, 8, 8), "uint8"), responses(response_unit), options).target.tolist()


def test_a_poisson_loss_needs_counts():
    assert target("poisson", "spikes per window") == [[1, 4], [3, 5]]
    assert target("mse", "normalized rate") == [[-1, -1], [1, 1]]
    with pytest.raises(V4eggError, match="session s1: responses are normalized rate, no counts of spikes; set enc"):
        target("poisson", "normalized rate")
