"""Facts on the columns of tables, for descriptions of files."""

from collections import Counter

import numpy as np
import pandas as pd

from v4egg.io.tables import texts, typed
from v4egg.recordings.filters import MANY
from v4egg.recordings.readers.description import Column

EXAMPLES = 3  # values that are shown


def column_facts(name: str, column: pd.Series) -> Column:
    """Type, examples and different values of a column.

    Example:
        >>> column_facts("block", pd.Series(["1", "2", "2"]))
        Column(name='block', kind='number', examples=('1', '2'), note='1 1, 2 2, 1 to 2')
    """
    values = typed(column)
    numbers = [value for value in values if not isinstance(value, str)]
    kind = "text" if len(numbers) < len(values) else "true or false" if column.dtype == bool else "number"
    given = [text for text in texts(column) if text]
    different = Counter(given)
    if len(different) <= MANY and len(different) < len(given):
        note = ", ".join(f"{value} {number}" for value, number in sorted(different.items()))
    else:
        note = f"{len(different)} different"
    if kind == "number" and np.isfinite(numbers).any():
        note += f", {np.nanmin(numbers):g} to {np.nanmax(numbers):g}"
    return Column(name, kind, tuple(different)[:EXAMPLES], note)


def few_values(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """By column that has from two to a few different values, how often each of them is there.

    Example:
        >>> few_values(pd.DataFrame({"area": ["V4", "V1", "V4"], "animal": ["F", "F", "F"]}))
        {'area': {'V4': 2, 'V1': 1}}
    """
    return {
        str(name): {str(value): int(number) for value, number in counts.items()}
        for name in table
        if 1 < len(counts := table[name].value_counts()) <= MANY
    }
