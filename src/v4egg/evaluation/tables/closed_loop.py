"""Numbers of the figure ``closed_loop``: what a brain's answers to synthesised images add, against natural images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.evaluation.closed_loop import NATURAL, SYNTHESISED
from v4egg.evaluation.tables.common import finite, median_interval, with_adjusted_p
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon

COLUMNS = ["session", "arch", "arm", "round", "presentations", "statistic", "unit", "value"]
UNIT_STATISTICS = ["activation", "predicted", "normalized_activation"]


def table(loops: Sequence[str | Path]) -> pd.DataFrame:
    """Responses of the simulated brain to the images of both arms, round by round; one number per row.

    Args:
        loops: Stores of kind ``closed_loop``.

    Returns:
        Columns: ``session``, ``arch``; ``arm``, which is ``synthesised`` or ``natural``, the images that the encoders
        were trained on; ``round``; ``presentations`` until then; ``statistic``; ``unit`` (empty: over units);
        ``value``. Statistics of a unit: ``activation`` (true response, spikes per window), ``predicted`` (by the arm's
        encoders) and ``normalized_activation``. Over units: ``median`` of the last with its 95% bootstrap interval
        ``low`` and ``high``, and ``n``. In the last round, of the synthesised arm against the natural one: ``p_value``
        (two-sided paired Wilcoxon test), ``p_adjusted`` (corrected over all loops), ``effect`` (rank-biserial),
        ``n_won`` and ``n_pairs``.
    """
    whole = pd.concat([_table(stores.load(path, "closed_loop").load()) for path in loops], ignore_index=True)
    return with_adjusted_p(whole, "statistic", "p_value", [])[COLUMNS]


def _table(loop: xr.Dataset) -> pd.DataFrame:
    frame = loop[UNIT_STATISTICS].to_dataframe().reset_index()
    units = frame.melt(["arm", "round", "unit"], var_name="statistic").dropna(subset="value")
    session, arch = loop.attrs["session"], loop.attrs["arch"]
    rows = []
    for arm in map(str, loop["arm"].values):
        for round_index in range(loop.sizes["round"]):
            values = loop["normalized_activation"].sel(arm=arm).isel(round=round_index).values
            numbers = median_interval(values, ("closed loop", session, arch, arm, round_index))
            numbers["n"] = finite(values).size
            rows += [(arm, round_index, "", name, value) for name, value in numbers.items()]
    rows += [(SYNTHESISED, loop.sizes["round"] - 1, "", name, value) for name, value in _last_round(loop).items()]
    over = pd.DataFrame(rows, columns=["arm", "round", "unit", "statistic", "value"]).dropna(subset="value")
    whole = pd.concat([units, over], ignore_index=True)
    whole["presentations"] = loop["presentations"].values[whole["round"].astype(int)]
    return whole.assign(session=session, arch=arch)


def _last_round(loop: xr.Dataset) -> dict[str, float]:
    """The paired test of the two arms after the last round."""
    last = loop["normalized_activation"].isel(round=-1)
    synthesised, natural = last.sel(arm=SYNTHESISED).values, last.sel(arm=NATURAL).values
    test = paired_wilcoxon(synthesised, natural)
    return {
        "p_value": test.p_value,
        "effect": test.rank_biserial,
        "n_won": float(np.sum(synthesised > natural)),
        "n_pairs": float(np.isfinite(synthesised - natural).sum()),
    }
