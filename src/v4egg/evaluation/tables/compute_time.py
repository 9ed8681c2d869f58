"""Numbers of the figure ``compute_time``: what an image costs, and what judges respond to what the cost has bought."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import gather, load_transfer, mei_stores
from v4egg.evaluation.tables.common import QUARTILES, Row
from v4egg.stats.activation_scales import fraction_of_gradient_ascent

REFERENCE = "gradient_ascent"
COSTS = ("seconds", "evaluations")
COLUMNS = [
    "method",
    "arch",
    "measure",
    "statistic",
    "unit",
    "sample",
    "step_fraction",
    "evaluations",
    "judge",
    "shares_weights",
    "value",
]
_Groups = Mapping[tuple[str, str], Sequence[xr.Dataset]]


def table(meis: Sequence[str | Path], transfer: str | Path | None = None) -> pd.DataFrame:
    """Costs, trajectories and final activations by method and architecture; one number per row.

    Args:
        meis: Stores of kind ``mei``.
        transfer: The ``transfer`` store, for what judges respond to the final images.

    Returns:
        Columns: ``method``, ``arch``; ``measure``, which is ``seconds`` or ``evaluations`` (per image; evaluations are
        images that the encoder saw), ``fraction_of_gradient_ascent`` (of the generators along the synthesis: each
        unit's mean over images, divided by where gradient ascent ended for that unit, if that is above 0) or ``judged``
        (activation of the final images under ``judge``, on the scale of the judge's own best natural image);
        ``statistic``, which is ``image``, ``mean`` over images, ``ratio`` (the mean of gradient ascent over this
        method's), ``q25``, ``median``, ``q75`` over units, and ``n`` (images of costs, units otherwise); ``unit`` and
        ``sample`` (of an image); ``step_fraction`` of the synthesis; ``evaluations`` per image until then; ``judge``,
        ``shares_weights``; ``value``.

    Raises:
        V4eggError: No store is given, or a store lacks its attributes.
    """
    groups = mei_stores(meis)
    if not groups:
        raise V4eggError("compute_time: no mei stores are given; make images by a method of the configuration")
    parts = [_costs(groups, measure) for measure in COSTS] + [_trajectories(groups)]
    parts += [] if transfer is None else [_judged(groups, load_transfer(transfer))]
    return pd.concat(parts).reindex(columns=COLUMNS).reset_index(drop=True)


def _costs(groups: _Groups, measure: str) -> pd.DataFrame:
    """Cost of every image, the means, and the ratio of gradient ascent's mean to each other method's."""
    parts, means = [], {}
    for (method, arch), batches in groups.items():
        head = {"method": method, "arch": arch, "measure": measure}
        images = gather(batches, measure).astype(float).to_series().dropna().rename("value").reset_index()
        means[method, arch] = images["value"].mean()
        parts.append(images[["unit", "sample", "value"]].assign(**head, statistic="image"))
        over = {"mean": means[method, arch], "n": len(images)}
        parts.append(pd.DataFrame([{**head, "statistic": name, "value": value} for name, value in over.items()]))
    for (method, arch), mean in means.items():
        ratio = means.get((REFERENCE, arch), np.nan) / mean if mean > 0 else np.nan
        if method != REFERENCE and np.isfinite(ratio):
            row = {"method": method, "arch": arch, "measure": measure, "statistic": "ratio", "value": ratio}
            parts.append(pd.DataFrame([row]))
    return pd.concat(parts, ignore_index=True)


def _trajectories(groups: _Groups) -> pd.DataFrame:
    """Quartiles over units of the activation, by step as a fraction of the synthesis."""
    rows: list[Row] = []
    for (method, arch), batches in groups.items():
        reference = groups.get((REFERENCE, arch))
        if reference is None:
            continue
        final = gather(reference, "activation").isel(step=-1).mean("sample")
        activation = gather(batches, "activation").mean("sample")
        fraction = xr.apply_ufunc(fraction_of_gradient_ascent, activation, final, join="inner")  # aligned by unit
        values = fraction.transpose("step", "unit").values
        values = values[:, np.isfinite(values).any(0)]
        if not values.size:
            continue
        fractions = np.linspace(0, 1, len(values)) if len(values) > 1 else np.ones(1)
        evaluations = float(gather(batches, "evaluations").mean()) * np.arange(1, len(values) + 1) / len(values)
        quartiles = np.nanquantile(values, list(QUARTILES.values()), axis=1).T
        numbers = np.column_stack([quartiles, np.isfinite(values).sum(1)])
        head = (method, arch, "fraction_of_gradient_ascent")
        rows += [
            (*head, name, float(fraction), float(n_evaluations), float(value))
            for fraction, n_evaluations, row in zip(fractions, evaluations, numbers, strict=True)
            for name, value in zip((*QUARTILES, "n"), row, strict=True)
        ]
    columns = ["method", "arch", "measure", "statistic", "step_fraction", "evaluations", "value"]
    return pd.DataFrame(rows, columns=columns)


def _judged(groups: _Groups, transfer: xr.Dataset) -> pd.DataFrame:
    """Quartiles over units of each judge's activation by the final images, each unit's mean over its images."""
    shares_weights = transfer["shares_weights"].to_series()
    rows: list[Row] = []
    for (method, arch), batches in groups.items():
        if method not in transfer["method"].values or arch not in transfer["arch"].values:
            continue
        evaluations = float(gather(batches, "evaluations").mean())
        judged = transfer["normalized_to_best_natural"].sel({"method": method, "arch": arch}).mean("sample")
        for judge in map(str, judged["judge"].values):
            values = judged.sel(judge=judge).to_series().dropna()
            head = (method, arch, "judged", evaluations, judge, bool(shares_weights[arch, judge]))
            over = {name: values.quantile(q) for name, q in QUARTILES.items()} | {"n": len(values)}
            rows += [(*head, name, value) for name, value in over.items() if len(values)]
    columns = ["method", "arch", "measure", "evaluations", "judge", "shares_weights", "statistic", "value"]
    return pd.DataFrame(rows, columns=columns)
