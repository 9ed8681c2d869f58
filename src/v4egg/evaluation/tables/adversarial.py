"""Numbers of the figure ``adversarial``: how far adversarial images of compact models move each judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.compact.maximizing import METHOD
from v4egg.errors import V4eggError
from v4egg.evaluation.adversarial import carried_over, exceeds_random, movements
from v4egg.evaluation.tables.common import Row, finite, median_interval, with_adjusted_p
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon

HEAD = ["model_source", "session", "judge", "shares_weights"]
COLUMNS = [*HEAD, "measure", "direction", "kind", "epsilon", "unit", "value"]
BOTH = "both"  # in the place of a direction: raising and lowering pooled
EXAMPLES = 2  # units whose images are shown
_HEAD = ["measure", "judge", "direction", "kind", "epsilon"]


def table(adversarial: Sequence[str | Path], transfer: Sequence[str | Path]) -> pd.DataFrame:
    """Movements of every judge by adversarial images, and its response to maximizing images; one number per row.

    Args:
        adversarial: Stores of kind ``adversarial``, one per set of compact models.
        transfer: The ``transfer`` stores of their maximizing images, in the same order.

    Returns:
        Columns: ``model_source``, ``session``, ``judge``, ``shares_weights``; ``measure``; ``direction`` (``raise``,
        ``lower``, ``both``); ``kind`` (``adversarial``, ``white``, ``spectrum``, ``natural``); ``epsilon``; ``unit``
        (empty: over units); ``value``. Measures of a unit: ``movement`` (in standard deviations of the judge's natural
        responses, in the direction asked for; of random changes, ``white`` or ``spectrum``, of either sign),
        ``carried_over`` (over the movement of the models themselves), ``maximizing`` (normalized activation of
        maximizing images) and, of the :data:`EXAMPLES` units that are moved most, ``example_response`` of the models to
        the images that the figure shows. Over units: ``median_...`` with its 95% bootstrap interval ``low_...`` and
        ``high_...``, and ``n_...``; of ``movement`` moreover ``share_above_random`` and ``share_above_all_random``, of
        units that the adversarial images move more than the mean and than the largest random change do (of the kind
        that moves more), and ``p_value`` (two-sided paired Wilcoxon test against the mean) with ``p_adjusted``,
        corrected over all judges, directions and epsilons of the table.

    Raises:
        V4eggError: No store is given.
    """
    pairs = zip(_read(adversarial, "adversarial"), _read(transfer, "transfer"), strict=True)
    whole = pd.concat([_table(data, maximizing) for data, maximizing in pairs], ignore_index=True)
    return with_adjusted_p(whole, "measure", "p_value", [])


def _read(paths: Sequence[str | Path], kind: str) -> list[xr.Dataset]:
    if not paths:
        raise V4eggError("adversarial: no session with targets has these compact models; see adversarial.models")
    return [stores.load(path, kind).load() for path in paths]


def _table(data: xr.Dataset, transfer: xr.Dataset) -> pd.DataFrame:
    movement = movements(data)
    frames = [
        _long(movement["adversarial"], measure="movement", kind="adversarial"),
        _long(movement["random"], measure="movement"),
        _long(carried_over(movement), measure="carried_over", kind="adversarial"),
        _long(_maximizing(transfer), measure="maximizing"),
    ]
    each = pd.concat(frames).dropna(subset="value").fillna({"kind": "", "direction": ""})
    rows = []
    for names, part in each.groupby(_HEAD, dropna=False, sort=False):
        values = part["value"].to_numpy()
        numbers = median_interval(values, ("adversarial", data.attrs["session"], *names))
        numbers["n"] = finite(values).size
        rows += [(f"{name}_{names[0]}", *names[1:], value) for name, value in numbers.items()]
    over = (
        pd.DataFrame(rows + _against_random(movement), columns=[*_HEAD, "value"]).assign(unit="").dropna(subset="value")
    )
    whole = pd.concat([each, over, _examples(data, movement)], ignore_index=True)
    shared = whole["judge"].map(data["shares_weights"].to_series())
    head = {"model_source": data.attrs["model_source"], "session": data.attrs["session"]}
    return whole.assign(**head, shares_weights=shared.values)[COLUMNS]


def _long(values: xr.DataArray, **columns: str) -> pd.DataFrame:
    return values.to_series().rename("value").reset_index().assign(**columns)


def _maximizing(transfer: xr.Dataset) -> xr.DataArray:
    """Normalized activation (unit, judge) of a unit's maximizing images, mean over samples."""
    judged = transfer["normalized_activation"].isel(arch=0, drop=True).sel({"method": METHOD}, drop=True)
    return judged.mean("sample").transpose("unit", "judge")


def _against_random(movement: xr.Dataset) -> list[Row]:
    """Adversarial images against random changes of the same size, by judge, direction and epsilon."""
    exceeded, chance = exceeds_random(movement), movement["random"].max("kind")
    names = {"share_above_random": "mean", "share_above_all_random": "all"}
    rows: list[Row] = []
    for judge, direction, epsilon in (
        movement["adversarial"].stack(cell=("judge", "direction", "epsilon"))["cell"].values
    ):
        at = {"judge": judge, "epsilon": epsilon}
        adversarial = movement["adversarial"].sel(direction=direction, **at).values
        numbers = {name: float(exceeded[key].sel(direction=direction, **at).mean()) for name, key in names.items()}
        numbers["p_value"] = paired_wilcoxon(adversarial, chance.sel(**at).values).p_value
        rows += [(name, judge, direction, "adversarial", epsilon, value) for name, value in numbers.items()]
    for judge, epsilon in movement["adversarial"].stack(cell=("judge", "epsilon"))["cell"].values:
        share = float(exceeded["mean"].sel(judge=judge, epsilon=epsilon).mean())
        rows.append(("share_above_random", judge, BOTH, "adversarial", epsilon, share))
    return rows


def _examples(data: xr.Dataset, movement: xr.Dataset) -> pd.DataFrame:
    """Responses of the models to the first image of the units that are moved most, at the largest epsilon."""
    total = movement["adversarial"].isel(judge=0, epsilon=-1).sum("direction").values
    chosen = np.argsort(-np.nan_to_num(total, nan=-np.inf))[:EXAMPLES]
    last = data.isel(epsilon=-1, sample=0, judge=0)
    rows = []
    for unit in data["unit"].values[chosen]:
        of_unit = last.sel(unit=unit)
        rows.append((str(unit), "", "natural", float(of_unit["natural"])))
        responses = {str(name): float(of_unit["adversarial"].sel(direction=name)) for name in data["direction"].values}
        rows += [(str(unit), direction, "adversarial", value) for direction, value in responses.items()]
    frame = pd.DataFrame(rows, columns=["unit", "direction", "kind", "value"])
    head: dict[str, Any] = {"judge": str(last["judge"].values), "epsilon": float(last["epsilon"])}
    return frame.assign(measure="example_response", **head)
