"""Numbers of the figure ``tuning``: best probes of compact models, and tuning curves of one unit per set of models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.compact.dot_detector import best_dot_detector, dot_scores
from v4egg.compact.tuning import curve, responses_above_grey, table_of
from v4egg.errors import V4eggError
from v4egg.io import stores

CURVES = (
    ("dot", ["size", "polarity"]),
    ("dots", ["size", "polarity"]),
    ("grating", ["orientation", "frequency"]),
    ("contour", ["curvature", "orientation"]),
    ("texture", ["orientation", "frequency"]),
    ("texture", ["orientation"]),
    ("dot", ["x", "y"]),
    ("colour", ["hue", "size"]),
    ("colour", ["hue"]),
)
COLUMNS = ["model_source", "session", "unit", "stimulus_class", "probe", "parameters", "first", "second", "response"]


def table(tuning: Sequence[str | Path]) -> pd.DataFrame:
    """Responses to probes, above the response to a grey image; one response per row.

    Args:
        tuning: Stores of kind ``tuning``, one per set of compact models.

    Returns:
        Columns: ``model_source``, ``session``, ``unit``, ``stimulus_class`` of probes; ``probe`` (of every unit, the
        one of
        the class that it responds to most); or else, for the unit with the highest dot index, tuning curves:
        ``parameters``, their values ``first`` and ``second``; ``response``, which for curves is the best over all other
        parameters of the class.

    Raises:
        V4eggError: No store is given.
    """
    if not tuning:
        raise V4eggError("tuning: no session with targets has these compact models; see circuits.models")
    parts = []
    for data in (stores.load(path, "tuning").load() for path in tuning):
        head = {"model_source": data.attrs["model_source"], "session": data.attrs["session"]}
        parts.append(_best(data).assign(**head))
        example = data.sel(unit=[best_dot_detector(dot_scores(data))])
        for stimulus_class, parameters in CURVES:
            names = dict(zip(parameters, ("first", "second"), strict=False))
            rows = curve(example, stimulus_class, parameters).rename(columns=names)
            parts.append(rows.assign(stimulus_class=stimulus_class, parameters=" and ".join(parameters), **head))
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _best(data: xr.Dataset) -> pd.DataFrame:
    """A row per unit and stimulus class: its best probe and the response to it."""
    probes, response = table_of(data), responses_above_grey(data)
    rows = []
    for stimulus_class in [name for name in probes["stimulus_class"].unique() if name != "grey"]:
        places = np.flatnonzero(probes["stimulus_class"] == stimulus_class)
        best = places[response[:, places].argmax(1)]
        for unit, place, values in zip(data["unit"].values.astype(str), best, response, strict=True):
            rows.append((unit, stimulus_class, probes.index[place], values[place]))
    return pd.DataFrame(rows, columns=["unit", "stimulus_class", "probe", "response"])
