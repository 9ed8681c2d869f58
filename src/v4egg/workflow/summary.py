"""The run in numbers: ``summary.json``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import GENERATORS, best_images, gather, load_transfer, mei_stores
from v4egg.evaluation.compact_summary import adversarial_numbers, compact_numbers
from v4egg.evaluation.independence import most_independent, shares_weights_by_judge
from v4egg.evaluation.score_statistics import (
    GROUPS,
    compare,
    mean_interval,
    model_correlations,
    named_encoders,
    scores_on_test,
    sessions_with_test,
    units_of,
)
from v4egg.evaluation.transfer_statistics import against_natural, between_methods


def summarise(
    *,
    scores: str | Path,
    transfer: str | Path,
    mei: Sequence[str | Path],
    benchmarks: Mapping[str, Sequence[str | Path]],
    compact: Sequence[str | Path] = (),
    adversarial: Sequence[str | Path] = (),
    stages: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, Any]:
    """The key numbers of a run as nested dicts that JSON can hold (NaN becomes None).

    ``scores`` and ``transfer`` are stores of those kinds, ``mei`` the ``mei`` stores (attrs ``method`` and ``arch``),
    ``benchmarks`` the Snakemake benchmark files of each stage, ``stages`` the tables of figures that a configuration
    switches on, by name. The scores store holds the selected units only.

    - ``encoders.<arch>.<session>``: ``n_units``, ``correlation_to_average`` and, where known, ``correlation_to_truth``
      of the whole ensemble, means over the units with a finite correlation on the test split; a session without a
      test split is left out. ``ci_low`` and ``ci_high`` bound the mean correlation to average (95% bootstrap over
      units), ``members_mean`` is that of single networks and ``ensemble_gain`` what their mean adds; ``by_size``,
      where known, is the mean correlation of ensembles of 1, 2, ... members.
    - ``combined_architectures.<name>.<session>``, ``reference_models.<name>.<session>`` and
    ``baselines.<name>.<session>`` likewise,
      without members.
    - ``ceilings.<session>``: ``ceiling``, ``leave_one_out`` and ``explainable_variance``, means over units.
    - ``comparisons``: the rows of :func:`v4egg.evaluation.score_statistics.compare`.
    - ``mei.<method>.<arch>``: ``n_images``, ``seconds_per_image`` (mean over images), ``most_independent_judge`` (see
      :func:`v4egg.evaluation.independence.most_independent`) and ``judges.<judge>`` with
      ``median_normalized_activation``, ``median_activation`` (over units, one image each) and ``shares_weights``.
    - ``transfer.against_natural`` and ``transfer.between_methods``: the rows of the two tables of
      :mod:`v4egg.evaluation.transfer_statistics`.
    - ``compact`` and ``adversarial``, where there are such stores: see :mod:`v4egg.evaluation.compact_summary`.
    - ``stages.<figure>``: the rows of a figure's table that are statistics over units, images or neurons.
    - ``seconds.<stage>``: wall seconds summed over the stage's jobs.

    Raises:
        V4eggError: a store lacks what is read from it, or a benchmark file has no column ``s``.
    """
    scored = scores_on_test(scores)
    judged = load_transfer(transfer)
    return {
        "encoders": _encoders(scored),
        "combined_architectures": _other_models(scored, "combined"),
        "reference_models": _other_models(scored, "reference_model"),
        "baselines": _other_models(scored, "baseline"),
        "ceilings": _ceilings(scored),
        "comparisons": _records(compare(scored)),
        "mei": _images(judged, mei_stores(mei)),
        "transfer": _transfer(judged),
        "compact": compact_numbers(compact),
        "adversarial": adversarial_numbers(adversarial),
        "stages": {figure: _statistics(table) for figure, table in (stages or {}).items()},
        "seconds": {stage: _seconds(paths) for stage, paths in benchmarks.items()},
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON holds them."""
    return [
        {str(name): _number(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _statistics(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a figure's table that are of no single unit, image or neuron, and of no curve over presentations."""
    one = table["statistic"].isin(("unit", "image", "neuron"))
    for column in ("unit", "neuron", "index"):
        one |= table[column].map(_is_known) if column in table else False
    curve = table["measure"] == "mean_activation" if "measure" in table else False
    return [
        {str(name): _plain(value) for name, value in row.items() if _is_known(value)}
        for row in table[~(one | curve)].to_dict("records")
    ]


def _is_known(value: Any) -> bool:
    return not pd.isna(value) and value != ""


def _plain(value: Any) -> Any:
    """A number of numpy as JSON holds it."""
    return value.item() if isinstance(value, np.generic) else value


def _encoders(scores: xr.Dataset) -> dict[str, Any]:
    sessions, correlations = sessions_with_test(scores), named_encoders(scores)
    truth = scores.get("correlation_to_truth")
    result = {}
    for arch in map(str, scores["arch"].values):
        result[arch] = _by_session(correlations[arch], sessions, arch)
        for session, entry in result[arch].items():
            session_scores = units_of(scores, session).sel(arch=arch)
            to_truth = (
                None if truth is None else _number(session_scores["correlation_to_truth"].sel(member="ensemble").mean())
            )
            entry |= {} if to_truth is None else {"correlation_to_truth": to_truth}
            entry |= _gain(session_scores["correlation_to_average"], entry["correlation_to_average"])
            if "correlation_by_size" in session_scores:
                entry["by_size"] = [_number(mean) for mean in session_scores["correlation_by_size"].mean("unit")]
    return result


def _gain(correlation: xr.DataArray, ensemble: float) -> dict[str, float]:
    """What the mean over networks adds to them; nothing where no single network was scored."""
    single = [member for member in correlation["member"].values if member not in GROUPS]
    mean = _number(correlation.sel(member=single).mean())
    return {} if mean is None else {"members_mean": mean, "ensemble_gain": ensemble - mean}


def _other_models(scores: xr.Dataset, kind: str) -> dict[str, Any]:
    sessions = sessions_with_test(scores)
    by_model = {name: _by_session(values, sessions, name) for name, values in model_correlations(scores, kind).items()}
    return {name: by_session for name, by_session in by_model.items() if by_session}


def _by_session(correlation: xr.DataArray | None, sessions: Sequence[str], model: str) -> dict[str, Any]:
    """Mean and interval over each session's units of a correlation (unit,), where any is finite."""
    result: dict[str, Any] = {}
    if correlation is None:
        return result
    for session in sessions:
        values = correlation.values[correlation["session"].values == session]
        n_units = int(np.isfinite(values).sum())
        mean, low, high = mean_interval(values, session, model, "correlation_to_average")
        if n_units:
            entry = {"correlation_to_average": mean, "ci_low": _number(low), "ci_high": _number(high)}
            result[session] = {"n_units": n_units, **{k: v for k, v in entry.items() if v is not None}}
    return result


def _ceilings(scores: xr.Dataset) -> dict[str, Any]:
    """Where test images were repeated: what the repeats say of the best possible prediction, means over units."""
    names = [name for name in ("ceiling", "leave_one_out", "explainable_variance") if name in scores]
    by_session = {}
    for session in sessions_with_test(scores):
        session_scores = units_of(scores, session)
        means = {name: _number(session_scores[name].mean()) for name in names}
        by_session[session] = {name: mean for name, mean in means.items() if mean is not None}
    return {session: means for session, means in by_session.items() if means}


def _images(transfer: xr.Dataset, stores_by_pair: Mapping[tuple[str, str], Sequence[xr.Dataset]]) -> dict[str, Any]:
    best = best_images(transfer)
    judged = {(str(method), str(arch)) for method in best["method"].values for arch in best["arch"].values}
    result: dict[str, dict[str, Any]] = {}
    for method, arch in sorted(judged | set(stores_by_pair)):
        batches = stores_by_pair.get((method, arch), [])
        entry = _cost(batches) if batches else _free_of_cost(transfer, method, arch)
        if (method, arch) in judged:
            entry["most_independent_judge"] = most_independent(shares_weights_by_judge(transfer.sel(arch=arch)))
            entry["judges"] = _by_judge(
                best.sel({"method": method, "arch": arch}), transfer["shares_weights"].sel(arch=arch)
            )
        if entry["n_images"]:
            result.setdefault(method, {})[arch] = entry
    return result


def _cost(batches: Sequence[xr.Dataset]) -> dict[str, Any]:
    seconds = gather(batches, "seconds")
    return {"n_images": int(seconds.notnull().sum()), "seconds_per_image": _number(seconds.mean())}


def _free_of_cost(transfer: xr.Dataset, method: str, arch: str) -> dict[str, Any]:
    """A method without ``mei`` stores: its images were found, not made, and count where the generators scored them."""
    scored = transfer["activation"].sel({"method": method, "arch": arch, "judge": GENERATORS})
    return {"n_images": int(scored.notnull().sum()), "seconds_per_image": None}


def _transfer(transfer: xr.Dataset) -> dict[str, Any]:
    best, shares_weights = best_images(transfer), transfer["shares_weights"]
    tables = {"against_natural": against_natural, "between_methods": between_methods}
    return {name: _records(make(best, shares_weights)) for name, make in tables.items()}


def _by_judge(best: xr.Dataset, shares_weights: xr.DataArray) -> dict[str, Any]:
    return {
        str(judge): {
            "median_normalized_activation": _number(best["normalized_activation"].sel(judge=judge).median()),
            "median_activation": _number(best["activation"].sel(judge=judge).median()),
            "shares_weights": bool(shares_weights.sel(judge=judge)),
        }
        for judge in best["judge"].values
    }


def _seconds(paths: Sequence[str | Path]) -> float:
    return float(sum(_job_seconds(Path(path)) for path in paths))


def _job_seconds(path: Path) -> float:
    try:
        return float(pd.read_csv(path, sep="\t")["s"].sum())
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        message = f"{path}: not a Snakemake benchmark with a column 's' ({error}); run the rule that makes it"
        raise V4eggError(message) from error


def _number(value: xr.DataArray | float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
