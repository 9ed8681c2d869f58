"""Numbers of the figure ``transfer_scatter``: do images also excite judges independent of the generators?"""

from pathlib import Path

import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import best_images, load_transfer
from v4egg.evaluation.tables.common import median
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL, NOISE
from v4egg.evaluation.transfer_statistics import HEAD, POOLED, RELATIVE, against_natural, between_methods

ZSCORE = "zscore"
REFERENCE = "gradient_ascent"  # the method that every other one is compared with, in z-scores
COLUMNS = [*HEAD, "against", "statistic", "unit", "value"]


def table(transfer: str | Path) -> pd.DataFrame:
    """Activation of every judge by each unit's image, on all scales, and statistics over units; one number per row.

    Args:
        transfer: The ``transfer`` store.

    Returns:
        Columns: ``session`` (``all``: pooled), ``arch``, ``judge``, ``shares_weights``; ``measure``, which is
        ``zscore`` or one of the scales of :data:`v4egg.evaluation.transfer_statistics.RELATIVE`; ``method``;
        ``against`` (another method, or empty); ``statistic``; ``unit``; ``value``. Per unit the statistic is ``unit``.
        Over units: the columns of :func:`v4egg.evaluation.transfer_statistics.against_natural` and, against another
        method, those of :func:`v4egg.evaluation.transfer_statistics.between_methods`, with gradient ascent always the
        one compared with in ``zscore``; of ``zscore`` the ``median``.

    Raises:
        V4eggError: The store holds no synthesised images, or no judge named generators.
    """
    judged = load_transfer(transfer)
    if set(map(str, judged["method"].values)) <= {MODEL_SELECTED_NATURAL, NOISE}:
        raise V4eggError(
            f"{transfer}: holds natural images only; make images by a method of the configuration (synthesis.methods)"
        )
    best, shares_weights = best_images(judged), judged["shares_weights"]
    each = _units(best, shares_weights)
    methods = sorted(map(str, best["method"].values), key=lambda method: method != REFERENCE)
    statistics = [
        against_natural(best, shares_weights),
        between_methods(best, shares_weights),
        between_methods(best.sel({"method": methods}), shares_weights, [ZSCORE]),
    ]
    parts = [each, *map(_melted, statistics), _zscore_medians(each)]
    return pd.concat(parts, ignore_index=True)[COLUMNS].astype({"value": float})


def _units(best: xr.Dataset, shares_weights: xr.DataArray) -> pd.DataFrame:
    frame = best[[ZSCORE, *RELATIVE]].drop_vars("sample").to_dataframe().reset_index()
    frame = frame.melt(["method", "arch", "unit", "judge"])
    frame = frame.rename(columns={"variable": "measure"}).dropna(subset="value")
    shared = shares_weights.to_series().rename("shares_weights").reset_index()
    session = frame["unit"].astype(str).str.rsplit("-", n=1).str[0]
    return frame.merge(shared, on=["arch", "judge"]).assign(session=session.values, against="", statistic="unit")


def _melted(statistics: pd.DataFrame) -> pd.DataFrame:
    """A table of statistics as one number per row."""
    statistics = statistics if "against" in statistics else statistics.assign(against="")
    return statistics.melt([*HEAD, "against"], var_name="statistic").assign(unit="").dropna(subset="value")


def _zscore_medians(each: pd.DataFrame) -> pd.DataFrame:
    rows = each[each["measure"] == ZSCORE].assign(session=POOLED)
    medians = rows.groupby(HEAD, sort=False)["value"].agg(median).reset_index()
    return medians.assign(against="", statistic="median", unit="")
