"""Numbers of the figure ``compact``: accuracy and size of compact models, beside their teacher and other models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.compact_summary import parameter_numbers
from v4egg.evaluation.tables.common import Row
from v4egg.io import stores
from v4egg.stats.inference import bootstrap_interval

COLUMNS = ["session", "measure", "model", "layer", "statistic", "unit", "value"]
PUBLISHED = "published_compact"
_HEAD = ["session", "measure", "model", "layer"]
_MEASURES = {"correlation_to_average": "correlation", "r2_er": "r2_er"}  # by their names of the teacher
_STATISTICS = {"r2_to_teacher": "median", "correlation_to_average": "mean"}  # whose interval the figure shows


def table(compact: Sequence[str | Path], scores: str | Path, shared: Sequence[str | Path] = ()) -> pd.DataFrame:
    """Accuracy and size of compact models, of their teacher and of other models of the same units; one number per row.

    Args:
        compact: Stores of kind ``compact``, one per session.
        scores: The ``scores`` store. The ensembles' scores stand in the table for all of its sessions, for their
            ``r2_er`` where images were repeated.
        shared: Stores of kind ``compact_shared``: models that all units of a session share.

    Returns:
        Columns: ``session``; ``measure``, which is ``r2_to_teacher``, ``filters``, ``parameters``,
        ``correlation_to_average`` or ``r2_er``; ``model``: the stages of the compact models, ``teacher``,
        ``published_compact``, every ensemble of the scores, and ``shared_<filters>``; ``layer`` (of ``filters``);
        ``statistic``: ``unit`` and, over units, ``median``, ``mean``, ``n``, the 95% bootstrap interval ``low`` and
        ``high`` (of the median of ``r2_to_teacher`` and of the mean of ``correlation_to_average``) and, of
        ``parameters``, ``ratio``: the teacher's over those of the median model; ``unit``; ``value``.

    Raises:
        V4eggError: No store is given.
    """
    if not compact:
        raise V4eggError("compact: no stores are given; name a session with a test split under compact.sessions")
    scored = stores.load(scores, "scores").load()
    parts = [_session(stores.load(path, "compact").load(), scored) for path in compact]
    parts += [_ensembles(scored, session) for session in _sessions_without(scored, parts)]
    parts += [_shared(stores.load(path, "compact_shared").load()) for path in shared]
    each = pd.concat(parts, ignore_index=True).dropna(subset="value")
    grouped = each.groupby(_HEAD, sort=False, dropna=False)["value"]
    names = {"median": "median", "mean": "mean", "n": "count"}
    over = {name: grouped.agg(how).reset_index().assign(statistic=name) for name, how in names.items()}
    intervals = pd.DataFrame([row for head, values in grouped for row in _interval_rows(head, values)])
    whole = pd.concat([each, *over.values(), _ratios(over["median"]), intervals], ignore_index=True)
    return whole.reindex(columns=COLUMNS)


def _interval_rows(head: Row, values: pd.Series) -> list[dict[str, Any]]:
    session, measure, model, _ = head
    if measure not in _STATISTICS or len(values) < 2:
        return []
    key = ("compact", session, measure, model)
    interval = bootstrap_interval(values, getattr(np, _STATISTICS[measure]), key)
    rows = zip(("low", "high"), interval, strict=True)
    return [{**dict(zip(_HEAD, head, strict=True)), "statistic": name, "value": value} for name, value in rows]


def _session(store: xr.Dataset, scores: xr.Dataset) -> pd.DataFrame:
    """The numbers of the units of one session."""
    session, units = store.attrs["session"], [str(unit) for unit in store["unit"].values]
    rows: list[Row] = []

    def add(measure: str, model: str, values: np.ndarray, layer: int | str = "") -> None:
        pairs = zip(units, values, strict=True)
        rows.extend((session, measure, model, layer, "unit", unit, float(value)) for unit, value in pairs)

    sizes = parameter_numbers(store)
    for stage in map(str, store["stage"].values):
        part = store.sel(stage=stage)
        add("r2_to_teacher", stage, part["r2_to_teacher"].values)
        add("parameters", stage, sizes.sel(stage=stage).values)
        for layer in range(part.sizes["layer"]):
            add("filters", stage, part["filters"].isel(layer=layer).values, layer)
    if "published_parameters" in store:
        add("parameters", PUBLISHED, store["published_parameters"].where(store["published_parameters"] > 0).values)
    rows.append((session, "parameters", "teacher", "", "unit", "", float(store.attrs["teacher_parameters"])))
    test = scores.sel(split="test").reindex(unit=units)
    for measure, key in _MEASURES.items():
        for arch in map(str, test["arch"].values) if measure in test else ():
            add(measure, arch, test[measure].sel(arch=arch, member="ensemble").values)
        add(measure, "teacher", store[f"teacher_{key}"].values)
        for stage in map(str, store["stage"].values):
            add(measure, stage, store[measure].sel(stage=stage).values)
    if "reference_model_correlation" in test and PUBLISHED in test["reference_model"].values:
        published = test["reference_model_correlation"].sel(reference_model=PUBLISHED)
        add("correlation_to_average", PUBLISHED, published.values)
    return pd.DataFrame(rows, columns=COLUMNS)


def _sessions_without(scores: xr.Dataset, parts: Sequence[pd.DataFrame]) -> list[str]:
    """Sessions that have scores and no compact models."""
    return sorted({*map(str, scores["session"].values)} - {session for part in parts for session in part["session"]})


def _ensembles(scores: xr.Dataset, session: str) -> pd.DataFrame:
    """The ensembles' numbers in a session without compact models, where images may have been repeated."""
    test = scores.sel(split="test", member="ensemble")
    test = test.isel(unit=np.flatnonzero(scores["session"].values == session))
    rows = [
        (session, measure, str(arch), "", "unit", str(unit), float(value))
        for measure in _MEASURES
        if measure in test
        for arch in test["arch"].values
        for unit, value in zip(test["unit"].values, test[measure].sel(arch=arch).values, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _shared(store: xr.Dataset) -> pd.DataFrame:
    """The numbers of the models that the units of a session share."""
    session, rows = store.attrs["session"], []
    for k in store["shared"].values:
        part, model = store.sel(shared=k), f"shared_{k}"
        rows.append((session, "parameters", model, "", "unit", "", float(part["parameters"])))
        for measure in ("r2_to_teacher", "correlation_to_average"):
            pairs = zip(map(str, part["unit"].values), part[measure].values, strict=True)
            rows += [(session, measure, model, "", "unit", unit, float(value)) for unit, value in pairs]
    return pd.DataFrame(rows, columns=COLUMNS)


def _ratios(medians: pd.DataFrame) -> pd.DataFrame:
    """How many times larger the teacher is than the median model."""
    sizes = medians[medians["measure"] == "parameters"]
    teacher = sizes[sizes["model"] == "teacher"].set_index("session")["value"]
    others = sizes[sizes["model"] != "teacher"]
    return others.assign(statistic="ratio", value=others["session"].map(teacher) / others["value"])
