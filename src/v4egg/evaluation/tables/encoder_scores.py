"""Numbers of the figure ``encoder_scores``: how well encoders and other models predict held-out responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.score_statistics import (
    GROUPS,
    compare,
    mean_interval,
    scores_on_test,
    sessions_with_test,
    units_of,
)
from v4egg.evaluation.tables.common import Row
from v4egg.io import stores

METRIC = "correlation_to_average"
COLUMNS = [
    "session",
    "model",
    "metric",
    "member",
    "kind",
    "core",
    "readout",
    "statistic",
    "unit",
    "against",
    "value",
]
ENCODER, COMBINED, CEILING, TRUTH = "encoder", "combined", "ceiling", "truth"
_OTHERS = (COMBINED, "reference_model", "baseline")  # variables of a scores store: <kind>_correlation


@dataclass(frozen=True)
class _Model:
    """One model in one session: what it is, and its correlation with each unit (unit,)."""

    name: str
    metric: str
    kind: str
    values: np.ndarray

    def head(self, session: str, parts: Mapping[str, tuple[str, str]]) -> Row:
        """The first columns of the model's rows; ``parts`` are each architecture's core and readout."""
        encoder = self.kind in (ENCODER, TRUTH)
        core_and_readout = parts.get(self.name, ("", "")) if encoder else ("", "")
        return (session, self.name, self.metric, "ensemble" if encoder else "", self.kind, *core_and_readout)


def table(scores: str | Path) -> pd.DataFrame:
    """Test correlations of each unit, means and intervals over units, and paired comparisons; one number per row.

    Args:
        scores: The ``scores`` store.

    Returns:
        Columns: ``session``, ``model``; ``metric`` (``correlation_to_average``, ``ceiling``, ``correlation_to_truth``);
        ``member`` of an ensemble (``ensemble``: the mean of all; empty for other models); ``kind`` of the model
        (``encoder``, ``combined``, ``reference_model``, ``baseline``, ``ceiling``, or ``truth`` for an encoder's
        correlation with the noise-free response); ``core`` and ``readout`` of encoders; ``statistic``; ``unit``;
        ``against`` (another model); ``value``. Statistics: ``unit``; over units ``mean`` with its 95% bootstrap
        interval ``ci_low`` and ``ci_high``, and ``n_units``; ``best_on_validation``, 1 for the encoder with the highest
        mean correlation on validation images; and against another model those of
        :func:`v4egg.evaluation.score_statistics.compare`. Only finite values; of ``correlation_to_average`` every
        member, of the rest the ensemble.

    Raises:
        V4eggError: No session of the store has a test split.
    """
    scored = scores_on_test(scores)
    sessions = sessions_with_test(scored)
    if not sessions:
        raise V4eggError(
            f"{scores}: no session has test scores; give at least one session a test split (split: repeated)"
        )
    validation = stores.load(scores, "scores").sel(split="validation").load()
    rows: list[Row] = []
    for session in sessions:
        rows += _session_rows(units_of(scored, session), session)
        rows += _best_rows(units_of(validation, session), session)
    rows += _comparison_rows(scored)
    return pd.DataFrame(rows, columns=COLUMNS)


def _models(session_scores: xr.Dataset) -> list[_Model]:
    """The models of one session in reading order: encoders, other models, baselines, ceiling, encoders to the truth."""
    archs = [str(arch) for arch in session_scores["arch"].values]
    correlation = session_scores[METRIC].sel(member="ensemble")
    models = [_Model(arch, METRIC, ENCODER, correlation.sel(arch=arch).values) for arch in archs]
    for kind in _OTHERS:
        if f"{kind}_correlation" in session_scores:
            values = session_scores[f"{kind}_correlation"]
            models += [
                _Model(str(name), METRIC, kind, values.sel({kind: name}).values) for name in session_scores[kind].values
            ]
    if "ceiling" in session_scores:
        models.append(_Model("ceiling", "ceiling", CEILING, session_scores["ceiling"].values))
    if "correlation_to_truth" in session_scores:
        truth = session_scores["correlation_to_truth"].sel(member="ensemble")
        models += [_Model(arch, "correlation_to_truth", TRUTH, truth.sel(arch=arch).values) for arch in archs]
    return [model for model in models if np.isfinite(model.values).any()]


def _parts(scores: xr.Dataset) -> dict[str, tuple[str, str]]:
    """Architecture -> its core and readout, where the store names them."""
    if not {"core", "readout"} <= set(scores.coords):
        return {}
    names = (scores[name].values.astype(str) for name in ("arch", "core", "readout"))
    return {arch: (core, readout) for arch, core, readout in zip(*names, strict=True)}


def _session_rows(session_scores: xr.Dataset, session: str) -> list[Row]:
    rows: list[Row] = []
    parts, units = _parts(session_scores), session_scores["unit"].values
    for model in _models(session_scores):
        head = model.head(session, parts)
        mean, low, high = mean_interval(model.values, session, model.name, model.metric)
        rows += _unit_rows(head, model.values, units)
        n_units = np.isfinite(model.values).sum()
        rows += _statistic_rows(head, {"mean": mean, "ci_low": low, "ci_high": high, "n_units": n_units})
    for arch in map(str, session_scores["arch"].values):
        for member in (str(name) for name in session_scores["member"].values if name != "ensemble"):
            kind = "group" if member in GROUPS else "member"
            head = (session, arch, METRIC, member, kind, *parts.get(arch, ("", "")))
            values = session_scores[METRIC].sel(arch=arch, member=member)
            rows += _unit_rows(head, values.values, units)
            rows += _statistic_rows(head, {"mean": float(values.mean())})
    return rows


def _best_rows(validation: xr.Dataset, session: str) -> list[Row]:
    """The encoder that predicts validation images best: test images choose nothing."""
    encoders = [model for model in _models(validation) if model.kind in (ENCODER, COMBINED)]
    if not encoders:
        return []
    best = encoders[int(np.argmax([np.nanmean(model.values) for model in encoders]))]
    return _statistic_rows(best.head(session, _parts(validation)), {"best_on_validation": 1.0})


def _comparison_rows(scored: xr.Dataset) -> list[Row]:
    """Every comparison as rows of the table."""
    parts, rows = _parts(scored), []
    archs = set(map(str, scored["arch"].values))
    for row in compare(scored).to_dict("records"):
        kind = ENCODER if row["a"] in archs else COMBINED
        head = _Model(row["a"], METRIC, kind, np.empty(0)).head(row["session"], parts)
        names = ("difference", "low", "high", "p_value", "p_adjusted", "effect", "n", "n_won", "n_lost")
        rows += _statistic_rows(head, {name: row[name] for name in names}, row["b"])
    return rows


def _unit_rows(head: Row, values: np.ndarray, units: np.ndarray) -> list[Row]:
    return [(*head, "unit", str(units[i]), "", float(values[i])) for i in np.flatnonzero(np.isfinite(values))]


def _statistic_rows(head: Row, statistics: Mapping[str, float], against: str = "") -> list[Row]:
    return [(*head, name, "", against, float(value)) for name, value in statistics.items() if np.isfinite(value)]
