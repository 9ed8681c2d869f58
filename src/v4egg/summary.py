"""The run in numbers: ``summary.json`` for machines and the closing table for people.

The rule by which one image stands for a unit, :func:`best_images`, is the same for every method and is shared with the
figures: the image that the generators, who made it, rate highest. No judge that is reported has a say in it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tabulate import tabulate

from v4egg import stores
from v4egg.errors import V4eggError

GENERATORS = "generators"
_JUDGED = ("activation", "zscore", "relative_activation")


def summarise(
    *,
    scores: str | Path,
    transfer: str | Path,
    mei: Sequence[str | Path],
    benchmarks: Mapping[str, Sequence[str | Path]],
) -> dict[str, Any]:
    """The key numbers of a run as nested dicts that JSON can hold (NaN becomes None).

    ``scores`` and ``transfer`` are stores of those kinds, ``mei`` the ``mei`` stores (attrs ``method`` and ``arch``),
    ``benchmarks`` the Snakemake benchmark files of each stage. The scores store holds the selected units only.

    - ``encoders.<arch>.<session>``: ``n_units``, ``correlation_to_average`` and, where known, ``correlation_to_truth``
      of the whole ensemble, means over the units with a finite correlation on the test split; a session without a
      test split is left out. ``yardsticks.<name>.<session>`` likewise.
    - ``mei.<method>.<arch>``: ``n_images``, ``seconds_per_image`` (mean over images) and ``judges.<judge>`` with
      ``median_relative_activation``, ``median_activation`` (over units, one image each) and ``took_part``.
    - ``seconds.<stage>``: wall seconds summed over the stage's jobs.

    Raises:
        V4eggError: a store lacks what is read from it, or a benchmark file has no column ``s``.
    """
    scored = scores_on_test(scores)
    judged = load_transfer(transfer)
    return {
        "encoders": _encoders(scored),
        "yardsticks": _yardsticks(scored),
        "mei": _images(judged, mei_stores(mei)),
        "seconds": {stage: _seconds(paths) for stage, paths in benchmarks.items()},
    }


def table(summary: Mapping[str, Any]) -> str:
    """The summary as plain text in aligned columns: encoders, images by judge, and time by stage."""
    parts = [_encoder_table(summary), _image_table(summary["mei"]), _seconds_table(summary["seconds"])]
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
    judged = transfer[list(_JUDGED)]
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


def _encoders(scores: xr.Dataset) -> dict[str, Any]:
    ensemble = scores.sel(member="ensemble")
    names = [name for name in ("correlation_to_average", "correlation_to_truth") if name in ensemble]
    return {
        str(arch): _by_session(ensemble[names].sel(arch=arch), sessions_with_test(scores))
        for arch in scores["arch"].values
    }


def _yardsticks(scores: xr.Dataset) -> dict[str, Any]:
    if "yardstick_correlation" not in scores:
        return {}
    values = scores[["yardstick_correlation"]].rename(yardstick_correlation="correlation_to_average")
    sessions = sessions_with_test(scores)
    found = {str(name): _by_session(values.sel(yardstick=name), sessions) for name in scores["yardstick"].values}
    return {name: by_session for name, by_session in found.items() if by_session}


def _by_session(scores: xr.Dataset, sessions: Sequence[str]) -> dict[str, Any]:
    """Means over each session's units of the variables with dims (unit,), where any value is finite."""
    found = {}
    for session in sessions:
        here = scores.isel(unit=np.flatnonzero(scores["session"].values == session))
        n_units = int(here["correlation_to_average"].notnull().sum())
        means = {str(name): _number(values.mean()) for name, values in here.data_vars.items()}
        if n_units:
            found[session] = {"n_units": n_units, **{k: v for k, v in means.items() if v is not None}}
    return found


def _images(transfer: xr.Dataset, stores_by_pair: Mapping[tuple[str, str], Sequence[xr.Dataset]]) -> dict[str, Any]:
    best = best_images(transfer)
    judged = {(str(method), str(arch)) for method in best["method"].values for arch in best["arch"].values}
    found: dict[str, dict[str, Any]] = {}
    for method, arch in sorted(judged | set(stores_by_pair)):
        batches = stores_by_pair.get((method, arch), [])
        entry = _cost(batches) if batches else _free_of_cost(transfer, method, arch)
        if (method, arch) in judged:
            entry["judges"] = _by_judge(best.sel({"method": method, "arch": arch}), transfer["took_part"])
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
    models = {**summary["encoders"], **summary["yardsticks"]}
    rows = [
        [model, session, entry["n_units"], entry["correlation_to_average"], entry.get("correlation_to_truth")]
        for model, sessions in models.items()
        for session, entry in sessions.items()
    ]
    headers = ["model", "session", "units", "test correlation", "to truth"]
    if all(row[-1] is None for row in rows):
        rows, headers = [row[:-1] for row in rows], headers[:-1]
    return tabulate(rows, headers, floatfmt=".3f", missingval="-") if rows else ""


def _image_table(images: Mapping[str, Any]) -> str:
    entries = [(method, arch, entry) for method, archs in images.items() for arch, entry in archs.items()]
    judges = {judge: found["took_part"] for *_, entry in entries for judge, found in entry.get("judges", {}).items()}
    rows = [
        [method, arch, entry["n_images"], entry["seconds_per_image"]]
        + [entry.get("judges", {}).get(judge, {}).get("median_relative_activation") for judge in judges]
        for method, arch, entry in entries
    ]
    headers = ["images", "encoder", "n", "s / image", *(f"{judge}*" if own else judge for judge, own in judges.items())]
    text = tabulate(rows, headers, floatfmt=".2f", missingval="-")
    note = "median activation over units: 0 mean natural image, 1 best natural image; * made the images"
    return f"{text}\n{note}" if rows else ""


def _seconds_table(seconds: Mapping[str, float]) -> str:
    rows = [[stage, value] for stage, value in seconds.items()]
    return tabulate(rows, ["stage", "seconds"], floatfmt=".1f") if rows else ""
