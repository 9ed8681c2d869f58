"""The search for a dot detector among compact models: a unit that responds to small dots more than to any other probe.

The analysis follows Cowley, Stan, Pillow & Smith, Nature 2026. :mod:`v4egg.compact.dot_circuit` analyses its filters.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.compact.tuning import responses_above_grey, table_of
from v4egg.errors import V4eggError

DOTS = ("dot", "dots")
LARGEST = 0.14  # diameter of the largest dots, as a fraction of the image's side: larger ones are discs


def dots_and_rivals(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n,) of a table's probes: small dots, and their rivals, which are all others except grey.

    Args:
        table: rows of :func:`v4egg.compact.probes.probe_table`.
    """
    dots = (table["stimulus_class"].isin(DOTS) & (table["size"] <= LARGEST)).to_numpy()
    return dots, ~dots & (table["stimulus_class"] != "grey").to_numpy()


def dot_index(response: np.ndarray, dots: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """Dot index (D - R) / (D + R), where D is the response to the best dot and R to the best rival, at least 0.

    The index is 1 for a unit that responds to dots only, 0 for one that responds to a rival equally well, -1 for one
    that does not respond to dots, and NaN where no probe excites the unit.

    Args:
        response: responses above grey (..., probe).
        dots, rivals: masks (probe,).

    >>> dot_index(np.array([3.0, 0.5, 1.0]), np.array([True, True, False]), np.array([False, False, True])).item()
    0.5
    """
    d, r = (np.maximum(response[..., which].max(-1), 0) for which in (dots, rivals))
    return np.divide(d - r, d + r, out=np.full(np.shape(d), np.nan), where=d + r > 0)


def dot_scores(tuning: xr.Dataset) -> xr.Dataset:
    """Dot index of each unit of a ``tuning`` store.

    Returns:
        ``dot_index``, ``dot_response`` and ``rival_response`` (the responses above grey to the best dot and to the best
        rival), ``dot_probe`` and ``rival_probe`` (their names); each (unit,).
    """
    table, response = table_of(tuning), responses_above_grey(tuning)
    dots, rivals = dots_and_rivals(table)
    names = table.index.to_numpy()
    candidates = {"dot": np.flatnonzero(dots), "rival": np.flatnonzero(rivals)}
    variables: dict[str, Any] = {"dot_index": ("unit", dot_index(response, dots, rivals))}
    for name, positions in candidates.items():
        best = positions[response[:, positions].argmax(1)]
        variables[f"{name}_response"] = ("unit", response[np.arange(len(response)), best])
        variables[f"{name}_probe"] = ("unit", names[best].astype(object))
    return xr.Dataset(variables, {"unit": tuning["unit"].values.astype(object)})


def best_dot_detector(scores: xr.Dataset) -> str:
    """The unit with the highest dot index.

    Args:
        scores: what :func:`dot_scores` returns.

    Raises:
        V4eggError: no unit responds to any probe more than to grey.
    """
    index = scores["dot_index"].values
    if not np.isfinite(index).any():
        raise V4eggError("dot detector: no unit responds to any probe more than to grey; check the models")
    return str(scores["unit"].values[np.nanargmax(index)])
