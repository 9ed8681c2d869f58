"""What the tables of several figures share: quartiles, medians with intervals, and corrected p-values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from v4egg.stats.inference import adjusted_p_values, bootstrap_interval

Row = tuple[Any, ...]  # the fields of a row of a table, in the order of its columns
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def finite(values: ArrayLike) -> np.ndarray:
    """The finite values as a flat float array."""
    array = np.asarray(values, float).ravel()
    return array[np.isfinite(array)]


def median(values: ArrayLike) -> float:
    """The median of the finite values; NaN where there is none."""
    array = finite(values)
    return float(np.median(array)) if array.size else np.nan


def quartiles(values: ArrayLike) -> dict[str, float]:
    """The quartiles ``q25``, ``median`` and ``q75`` of the finite values; NaN where there is none."""
    array = finite(values)
    quantiles = np.quantile(array, list(QUARTILES.values())) if array.size else np.full(len(QUARTILES), np.nan)
    return dict(zip(QUARTILES, map(float, quantiles), strict=True))


def median_interval(values: ArrayLike, key: tuple[object, ...]) -> dict[str, float]:
    """The ``median`` of the finite values with its 95% bootstrap interval ``low`` and ``high``.

    Args:
        values: One number per unit.
        key: Names the random draw, see :mod:`v4egg.seeding`.
    """
    array = finite(values)
    low, high = bootstrap_interval(array, np.median, key)
    return {"median": median(array), "low": low, "high": high}


def with_adjusted_p(
    table: pd.DataFrame, column: str, p_name: str, family: Sequence[str], q_name: str = "p_adjusted"
) -> pd.DataFrame:
    """A long table with a corrected p-value after each p-value.

    Args:
        table: One number per row, in the column ``value``; what the number is stands in ``column``.
        column: The column that names the number, such as ``statistic``.
        p_name: The entry of ``column`` that marks p-values.
        family: Columns whose entries together name a family of comparisons; an empty sequence makes all p-values of the
            table one family.
        q_name: The entry of ``column`` for the corrected p-values.

    Returns:
        The table with as many more rows as there are p-values, corrected within each family by the method of Benjamini
        and Hochberg.
    """
    table = table.reset_index(drop=True)
    rows = table[table[column] == p_name]
    if rows.empty:
        return table
    groups = rows.groupby(list(family), sort=False, dropna=False)["value"] if family else None
    corrected = adjusted_p_values(rows["value"]) if groups is None else groups.transform(adjusted_p_values)
    added = rows.assign(value=corrected)
    added[column] = q_name
    return pd.concat([table, added]).sort_index(kind="stable").reset_index(drop=True)
