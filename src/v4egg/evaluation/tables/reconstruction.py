"""Numbers of the figure ``reconstruction``: how close reconstructions come to the true images, under every judge."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.evaluation.reconstruction_scores import OTHER
from v4egg.evaluation.tables.common import Row, with_adjusted_p
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon

GUIDED, DESCENT = "energy_guided", "gradient_descent"
COLUMNS = ["arch", "source", "method", "measure", "judge", "shares_weights", "statistic", "image", "value"]


def table(reconstruction: Sequence[str | Path], scores: str | Path) -> pd.DataFrame:
    """Distances and similarities of reconstructions to the true images, and what they cost; one number per row.

    Args:
        reconstruction: Stores of kind ``reconstruction``, one per architecture.
        scores: The ``reconstruction_scores`` store.

    Returns:
        Columns: ``arch``; ``source`` of the responses (``predicted``, ``recorded``); ``method`` (``other_image``: the
        other true images, in the place of a reconstruction); ``measure``, which is ``response_distance`` (mean squared
        difference of the judge's responses), ``distance_over_chance`` (divided by the mean over images of that between
        true images), ``ssim``, ``pixel_correlation``, ``feature_distance``, ``training_error``, ``evaluations`` or
        ``seconds``; ``judge`` and ``shares_weights`` (of distances); ``statistic``; ``image``; ``value``. Statistics:
        ``image``; over images ``median``; and of energy-guided diffusion against gradient descent ``n_lower``,
        ``n_images``, ``wilcoxon_p`` (two-sided paired Wilcoxon test), ``p_adjusted`` (corrected over all comparisons of
        the table) and ``rank_biserial``.
    """
    scored = _read(scores)
    rows: list[Row] = []
    for arch in map(str, scored["arch"].values):
        for source in map(str, scored["source"].values):
            of_arch = scored.sel(arch=arch, source=source)
            rows += [(arch, source, *row) for row in _distance_rows(of_arch) + _similarity_rows(of_arch)]
    for store in map(stores.load, reconstruction):
        rows += _cost_rows(store)
    return with_adjusted_p(pd.DataFrame(rows, columns=COLUMNS), "statistic", "wilcoxon_p", [])


def _read(path: str | Path) -> xr.Dataset:
    """The scores, with distances over chance: 1 is the mean over images of what other images give."""
    scored = stores.load(path, "reconstruction_scores").load()
    chance = scored["distance"].sel({"method": OTHER}, drop=True).mean("image")
    scored["distance_over_chance"] = scored["distance"] / chance.where(chance > 0)
    return scored


def _distance_rows(part: xr.Dataset) -> list[Row]:
    rows = []
    for judge in map(str, part["judge"].values):
        at, shared = part.sel(judge=judge), bool(part["shares_weights"].sel(judge=judge))
        for measure, name in (("response_distance", "distance"), ("distance_over_chance", "distance_over_chance")):
            rows += _measure_rows(measure, at[name], (judge, shared))
        rows += _test_rows("response_distance", at["distance"], (judge, shared))
    return rows


def _similarity_rows(part: xr.Dataset) -> list[Row]:
    rows = []
    for measure in map(str, part["measure"].values):
        values = part["similarity"].sel(measure=measure)
        rows += _measure_rows(measure, values, ("", "")) + _test_rows(measure, values, ("", ""))
    return rows


def _measure_rows(measure: str, values: xr.DataArray, judge: Row) -> list[Row]:
    """``values`` has dims (method, image)."""
    rows = []
    for method in map(str, values["method"].values):
        of_method = values.sel({"method": method}).dropna("image")
        if of_method.size:
            pairs = zip(of_method["image"].values, of_method.values, strict=True)
            rows += [(method, measure, *judge, "image", str(image), float(value)) for image, value in pairs]
            rows.append((method, measure, *judge, "median", "", float(of_method.median())))
    return rows


def _test_rows(measure: str, values: xr.DataArray, judge: Row) -> list[Row]:
    guided, descent = (values.sel({"method": name}).values for name in (GUIDED, DESCENT))
    test = paired_wilcoxon(guided, descent)
    statistics = {
        "n_lower": float(np.sum(guided < descent)),
        "n_images": float(np.isfinite(guided - descent).sum()),
        "wilcoxon_p": test.p_value,
        "rank_biserial": test.rank_biserial,
    }
    return [(GUIDED, measure, *judge, name, "", value) for name, value in statistics.items()]


def _cost_rows(store: xr.Dataset) -> list[Row]:
    rows = []
    for source in map(str, store["source"].values):
        for measure in ("training_error", "evaluations", "seconds"):
            values = store[measure].sel(source=source).astype(float).load()
            rows += [(store.attrs["arch"], source, *row) for row in _measure_rows(measure, values, ("", ""))]
    return rows
