"""The run in numbers: ``summary.json`` for machines and the closing table for people.

The rule by which one image stands for a unit, :func:`best_images`, is the same for every method and is shared with the
figures: the image that the generators, who made it, rate highest. No judge that is reported has a say in it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tabulate import tabulate

from v4egg import stores
from v4egg.compact.summary import adversarial_numbers, compact_numbers
from v4egg.errors import V4eggError
from v4egg.statistics import bootstrap_interval, paired_wilcoxon
from v4egg.transfer import MEASURES
from v4egg.transfer_statistics import against_natural, between_methods

GENERATORS = "generators"
_COMPACT = ("r2_to_teacher", "correlation_to_average", "parameters", "compression")  # medians over units
GROUPS = ("ensemble", "generators", "validators")  # members that are means; every other one is one network


def summarise(
    *,
    scores: str | Path,
    transfer: str | Path,
    mei: Sequence[str | Path],
    benchmarks: Mapping[str, Sequence[str | Path]],
    compact: Sequence[str | Path] = (),
    adversarial: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """The key numbers of a run as nested dicts that JSON can hold (NaN becomes None).

    ``scores`` and ``transfer`` are stores of those kinds, ``mei`` the ``mei`` stores (attrs ``method`` and ``arch``),
    ``benchmarks`` the Snakemake benchmark files of each stage. The scores store holds the selected units only.

    - ``encoders.<arch>.<session>``: ``n_units``, ``correlation_to_average`` and, where known, ``correlation_to_truth``
      of the whole ensemble, means over the units with a finite correlation on the test split; a session without a
      test split is left out. ``ci_low`` and ``ci_high`` bound the mean correlation to average (95% bootstrap over
      units), ``members_mean`` is that of single networks and ``ensemble_gain`` what their mean adds; ``by_size``,
      where known, is the mean correlation of ensembles of 1, 2, ... members.
    - ``mixtures.<name>.<session>``, ``yardsticks.<name>.<session>`` and ``baselines.<name>.<session>`` likewise,
      without members.
    - ``ceilings.<session>``: ``ceiling``, ``leave_one_out`` and ``explainable_variance``, means over units.
    - ``comparisons``: the rows of :func:`compare`.
    - ``mei.<method>.<arch>``: ``n_images``, ``seconds_per_image`` (mean over images) and ``judges.<judge>`` with
      ``median_relative_activation``, ``median_activation`` (over units, one image each) and ``took_part``.
    - ``transfer.against_natural`` and ``transfer.between_methods``: the rows of the two tables of
      :mod:`v4egg.transfer_statistics`.
    - ``compact`` and ``adversarial``, where there are such stores: see :mod:`v4egg.compact.summary`.
    - ``seconds.<stage>``: wall seconds summed over the stage's jobs.

    Raises:
        V4eggError: a store lacks what is read from it, or a benchmark file has no column ``s``.
    """
    scored = scores_on_test(scores)
    judged = load_transfer(transfer)
    return {
        "encoders": _encoders(scored),
        "mixtures": _others(scored, "mixture"),
        "yardsticks": _others(scored, "yardstick"),
        "baselines": _others(scored, "baseline"),
        "ceilings": _ceilings(scored),
        "comparisons": _records(compare(scored)),
        "mei": _images(judged, mei_stores(mei)),
        "transfer": _transfer(judged),
        "compact": compact_numbers(compact),
        "adversarial": adversarial_numbers(adversarial),
        "seconds": {stage: _seconds(paths) for stage, paths in benchmarks.items()},
    }


def table(summary: Mapping[str, Any]) -> str:
    """The summary as plain text in aligned columns: encoders, images by judge, and time by stage."""
    parts = [_encoder_table(summary), _image_table(summary["mei"])]
    parts += [_compact_table(summary.get("compact", {})), _seconds_table(summary["seconds"])]
    return "\n\n".join(part for part in parts if part)


def scores_on_test(path: str | Path) -> xr.Dataset:
    """The test split of a scores store, in memory; the dim ``split`` is gone.

    Raises:
        V4eggError: no test split, no member ``ensemble``, or units without a session.
    """
    scores = stores.load(path, "scores")
    if "session" not in scores.coords:
        raise V4eggError(f"{path}: the coordinate session(unit) is missing; run the rule that makes it again")
    if "yardstick" in scores and scores["yardstick"].ndim != 1:
        raise V4eggError(f"{path}: yardstick must hold names; write the correlations as yardstick_correlation")
    _require(scores, "split", "test", path)
    _require(scores, "member", "ensemble", path)
    return scores.sel(split="test").load()


def sessions_with_test(scores: xr.Dataset) -> list[str]:
    """Sessions in which some unit has a finite test correlation, in the order of the store."""
    scored = scores["correlation_to_average"].notnull().any(["arch", "member"])
    return list(dict.fromkeys(str(name) for name in scores["session"].values[scored.values]))


def units_of(scores: xr.Dataset, session: str) -> xr.Dataset:
    """The units of one session."""
    return scores.isel(unit=np.flatnonzero(scores["session"].values == session))


def mean_interval(values: xr.DataArray | np.ndarray, *key: str) -> tuple[float, float, float]:
    """Mean over units of the finite values and its 95% bootstrap interval, NaN below two values.

    ``key`` (session, model, metric) names the draw, so that figure and summary show the same interval.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if values.size else math.nan
    return mean, *bootstrap_interval(values, np.mean, ("scores", *key))


def compare(scores: xr.Dataset) -> pd.DataFrame:
    """Paired comparisons over the units of each session, of correlations to average on test images.

    ``scores`` is what :func:`scores_on_test` gives. Encoders (ensembles of an architecture, and mixtures) are compared
    with each other and with every yardstick and baseline. Columns: session; a, b; mean_a, mean_b; difference (a - b)
    with its 95% bootstrap interval low, high; p_value (two-sided Wilcoxon, not corrected for the number of
    comparisons); effect (rank-biserial, positive where a wins); n, units with both. Means are over these units.
    """
    rows = [row for session in sessions_with_test(scores) for row in _comparisons(units_of(scores, session), session)]
    columns = ["session", "a", "b", "mean_a", "mean_b", "difference", "low", "high", "p_value", "effect", "n"]
    return pd.DataFrame(rows, columns=columns)


def load_transfer(path: str | Path) -> xr.Dataset:
    """A transfer store, in memory.

    Raises:
        V4eggError: the generators are not among its judges.
    """
    transfer = stores.load(path, "transfer")
    _require(transfer, "judge", GENERATORS, path)
    return transfer.load()


def best_images(transfer: xr.Dataset) -> xr.Dataset:
    """Each unit's image that the generators rate highest, method by method and architecture by architecture.

    Returns activation, zscore and relative_activation with dims (method, arch, unit, judge) and the coordinate
    ``seed`` (method, arch, unit); NaN where a method made no image for the unit.
    """
    own = transfer["activation"].sel(judge=GENERATORS, drop=True)
    judged = transfer[list(MEASURES)]
    if "seed" not in judged.coords:
        judged = judged.assign_coords(seed=np.arange(judged.sizes["seed"]))
    best = own.fillna(-np.inf).argmax("seed")
    return judged.isel(seed=best).where(own.notnull().any("seed"))


def mei_stores(paths: Sequence[str | Path]) -> dict[tuple[str, str], list[xr.Dataset]]:
    """The ``mei`` stores by (method, arch), opened lazily; several batches of units stay a list.

    Raises:
        V4eggError: a store does not say its method or architecture.
    """
    groups: dict[tuple[str, str], list[xr.Dataset]] = {}
    for path in paths:
        store = stores.load(path, "mei")
        missing = [name for name in ("method", "arch") if name not in store.attrs]
        if missing:
            raise V4eggError(f"{path}: the attribute {missing[0]} is missing; run the rule that makes it again")
        groups.setdefault((store.attrs["method"], store.attrs["arch"]), []).append(store)
    return groups


def gather(batches: Sequence[xr.Dataset], variable: str) -> xr.DataArray:
    """One variable of several batches of units, in memory, joined along ``unit``."""
    return xr.concat([batch[variable].load() for batch in batches], "unit")


def _require(dataset: xr.Dataset, dim: str, name: str, path: str | Path) -> None:
    names = [str(value) for value in dataset[dim].values]
    if name not in names:
        raise V4eggError(f"{path}: {dim} '{name}' is missing, there are {names}; run the rule that makes it again")


def _named(scores: xr.Dataset) -> dict[str, xr.DataArray]:
    """The encoders' correlations to average (unit,) by name: each mixture and each architecture."""
    ensembles = scores["correlation_to_average"].sel(member="ensemble")
    return _known(scores, "mixture") | {str(arch): ensembles.sel(arch=arch) for arch in scores["arch"].values}


def _known(scores: xr.Dataset, kind: str) -> dict[str, xr.DataArray]:
    """The correlations (unit,) of the yardsticks, baselines or mixtures (``kind``, without s) by name."""
    if f"{kind}_correlation" not in scores:
        return {}
    values = scores[f"{kind}_correlation"]
    return {str(name): values.sel({kind: name}) for name in scores[kind].values}


def _comparisons(here: xr.Dataset, session: str) -> list[tuple]:
    ours, others = _named(here), {**_known(here, "yardstick"), **_known(here, "baseline")}
    pairs = [*itertools.combinations(ours, 2), *itertools.product(ours, others)]
    found = {**others, **ours}
    rows = [(session, a, b, *_paired(found[a].values, found[b].values, session, a, b)) for a, b in pairs]
    return [row for row in rows if row[-1]]


def _paired(a: np.ndarray, b: np.ndarray, *key: str) -> tuple[float, ...]:
    """The numbers of one row of :func:`compare`."""
    paired = np.isfinite(a) & np.isfinite(b)
    a, b = a[paired].astype(float), b[paired].astype(float)
    if not len(a):
        return (math.nan,) * 7 + (0,)
    test = paired_wilcoxon(a, b)
    return a.mean(), b.mean(), *mean_interval(a - b, *key), test.p_value, test.rank_biserial, len(a)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON holds them."""
    return [
        {name: _number(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _encoders(scores: xr.Dataset) -> dict[str, Any]:
    sessions, named = sessions_with_test(scores), _named(scores)
    truth = scores.get("correlation_to_truth")
    found = {}
    for arch in map(str, scores["arch"].values):
        found[arch] = _by_session(named[arch], sessions, arch)
        for session, entry in found[arch].items():
            here = units_of(scores, session).sel(arch=arch)
            known = None if truth is None else _number(here["correlation_to_truth"].sel(member="ensemble").mean())
            entry |= {} if known is None else {"correlation_to_truth": known}
            entry |= _gain(here["correlation_to_average"], entry["correlation_to_average"])
            if "correlation_by_size" in here:
                entry["by_size"] = [_number(mean) for mean in here["correlation_by_size"].mean("unit")]
    return found


def _gain(correlation: xr.DataArray, ensemble: float) -> dict[str, float]:
    """What the mean over networks adds to them; nothing where no single network was scored."""
    single = [member for member in correlation["member"].values if member not in GROUPS]
    mean = _number(correlation.sel(member=single).mean())
    return {} if mean is None else {"members_mean": mean, "ensemble_gain": ensemble - mean}


def _others(scores: xr.Dataset, kind: str) -> dict[str, Any]:
    sessions = sessions_with_test(scores)
    found = {name: _by_session(values, sessions, name) for name, values in _known(scores, kind).items()}
    return {name: by_session for name, by_session in found.items() if by_session}


def _by_session(correlation: xr.DataArray | None, sessions: Sequence[str], model: str) -> dict[str, Any]:
    """Mean and interval over each session's units of a correlation (unit,), where any is finite."""
    found: dict[str, Any] = {}
    for session in sessions if correlation is not None else ():
        here = correlation.values[correlation["session"].values == session]
        n_units = int(np.isfinite(here).sum())
        mean, low, high = mean_interval(here, session, model, "correlation_to_average")
        if n_units:
            entry = {"correlation_to_average": mean, "ci_low": _number(low), "ci_high": _number(high)}
            found[session] = {"n_units": n_units, **{k: v for k, v in entry.items() if v is not None}}
    return found


def _ceilings(scores: xr.Dataset) -> dict[str, Any]:
    """Where test images were repeated: what the repeats say of the best possible prediction, means over units."""
    names = [name for name in ("ceiling", "leave_one_out", "explainable_variance") if name in scores]
    found = {}
    for session in sessions_with_test(scores):
        here = units_of(scores, session)
        means = {name: _number(here[name].mean()) for name in names}
        found[session] = {name: mean for name, mean in means.items() if mean is not None}
    return {session: means for session, means in found.items() if means}


def _images(transfer: xr.Dataset, stores_by_pair: Mapping[tuple[str, str], Sequence[xr.Dataset]]) -> dict[str, Any]:
    best = best_images(transfer)
    judged = {(str(method), str(arch)) for method in best["method"].values for arch in best["arch"].values}
    found: dict[str, dict[str, Any]] = {}
    for method, arch in sorted(judged | set(stores_by_pair)):
        batches = stores_by_pair.get((method, arch), [])
        entry = _cost(batches) if batches else _free_of_cost(transfer, method, arch)
        if (method, arch) in judged:
            entry["judges"] = _by_judge(
                best.sel({"method": method, "arch": arch}), transfer["took_part"].sel(arch=arch)
            )
        if entry["n_images"]:
            found.setdefault(method, {})[arch] = entry
    return found


def _cost(batches: Sequence[xr.Dataset]) -> dict[str, Any]:
    seconds = gather(batches, "seconds")
    return {"n_images": int(seconds.notnull().sum()), "seconds_per_image": _number(seconds.mean())}


def _free_of_cost(transfer: xr.Dataset, method: str, arch: str) -> dict[str, Any]:
    """A method without ``mei`` stores: its images were found, not made, and count where the generators scored them."""
    scored = transfer["activation"].sel({"method": method, "arch": arch, "judge": GENERATORS})
    return {"n_images": int(scored.notnull().sum()), "seconds_per_image": None}


def _transfer(transfer: xr.Dataset) -> dict[str, Any]:
    best, took_part = best_images(transfer), transfer["took_part"]
    tables = {"against_natural": against_natural, "between_methods": between_methods}
    return {name: _records(make(best, took_part)) for name, make in tables.items()}


def _by_judge(best: xr.Dataset, took_part: xr.DataArray) -> dict[str, Any]:
    return {
        str(judge): {
            "median_relative_activation": _number(best["relative_activation"].sel(judge=judge).median()),
            "median_activation": _number(best["activation"].sel(judge=judge).median()),
            "took_part": bool(took_part.sel(judge=judge)),
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


def _encoder_table(summary: Mapping[str, Any]) -> str:
    extras = ("ensemble_gain", "correlation_to_truth")
    models = {
        **summary["encoders"],
        **summary.get("mixtures", {}),
        **summary["yardsticks"],
        **summary.get("baselines", {}),
    }
    rows = [
        [model, session, entry["n_units"], entry["correlation_to_average"], _interval(entry), *map(entry.get, extras)]
        for model, sessions in models.items()
        for session, entry in sessions.items()
    ]
    headers = ["model", "session", "units", "test correlation", "95% interval", "ensemble gain", "to truth"]
    if all(row[-1] is None for row in rows):
        rows, headers = [row[:-1] for row in rows], headers[:-1]
    return tabulate(rows, headers, floatfmt=".3f", missingval="-") if rows else ""


def _interval(entry: Mapping[str, Any]) -> str | None:
    return f"{entry['ci_low']:.3f} to {entry['ci_high']:.3f}" if "ci_low" in entry else None


def _image_table(images: Mapping[str, Any]) -> str:
    entries = [(method, arch, entry) for method, archs in images.items() for arch, entry in archs.items()]
    judges = list(dict.fromkeys(judge for *_, entry in entries for judge in entry.get("judges", {})))
    rows = [
        [method, arch, entry["n_images"], entry["seconds_per_image"]]
        + [_marked(entry.get("judges", {}).get(judge)) for judge in judges]
        for method, arch, entry in entries
    ]
    headers = ["images", "encoder", "n", "s / image", *judges]
    text = tabulate(rows, headers, floatfmt=".2f", missingval="-")
    note = "median activation over units: 0 mean natural image, 1 best natural image; * took part in making the images"
    return f"{text}\n{note}" if rows else ""


def _marked(judged: Mapping[str, Any] | None) -> str | None:
    if judged is None or judged["median_relative_activation"] is None:
        return None
    return f"{judged['median_relative_activation']:.2f}{'*' if judged['took_part'] else ' '}"


def _compact_table(sessions: Mapping[str, Any]) -> str:
    rows = [
        [session, stage, *(numbers.get(name) for name in _COMPACT)]
        for session, entry in sessions.items()
        for stage, numbers in entry.items()
        if isinstance(numbers, dict)
    ]
    headers = ["compact models", "stage", *(name.replace("_", " ") for name in _COMPACT)]
    return tabulate(rows, headers, floatfmt=("", "", ".3f", ".3f", ".0f", ".0f"), missingval="-") if rows else ""


def _seconds_table(seconds: Mapping[str, float]) -> str:
    rows = [[stage, value] for stage, value in seconds.items()]
    return tabulate(rows, ["stage", "seconds"], floatfmt=".1f") if rows else ""
