"""Numbers of the figure ``diverse``: how much a unit's images can differ, and what that costs in response."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from v4egg.evaluation.tables.common import QUARTILES, Row
from v4egg.io import stores
from v4egg.stats.activation_scales import response_retained

COLUMNS = ["arch", "judge", "shares_weights", "weight", "measure", "statistic", "unit", "value"]


def table(diverse: Sequence[str | Path], judged: str | Path) -> pd.DataFrame:
    """Diversity of each unit's images, and the judges' responses to them; one number per row.

    The diversity of a unit's images is 1 minus the mean correlation between two of them. Responses are means over the
    unit's images; ``response_retained`` divides them by the mean at the smallest weight of diversity under the same
    judge, where that is above 0.

    Args:
        diverse: Stores of kind ``series``, one per architecture.
        judged: The ``judged`` store of these images.

    Returns:
        Columns: ``arch``, ``judge``, ``shares_weights``, ``weight`` of diversity; ``measure`` (``diversity``, which has
        no judge, ``activation``, ``response_retained``); ``statistic``, which is ``unit`` and, over units, ``q25``,
        ``median``, ``q75`` and ``n``; ``unit``; ``value``.
    """
    read = _read(diverse, judged)
    rows: list[Row] = []
    for arch in map(str, read["arch"].values):
        of_arch = read.sel(arch=arch)
        rows += _rows((arch, "", ""), "diversity", of_arch["diversity"])
        for judge in map(str, of_arch["judge"].values):
            head = (arch, judge, bool(of_arch["shares_weights"].sel(judge=judge)))
            for measure in ("activation", "response_retained"):
                rows += _rows(head, measure, of_arch[measure].sel(judge=judge))
    return pd.DataFrame(rows, columns=COLUMNS)


def diversity(images: np.ndarray) -> float:
    """Return 1 minus the mean correlation between two of the images (n, channel, y, x), over all pixels and channels.

    It is 0 for copies and 1 for unrelated images; NaN where one of them is uniform.
    """
    centred = images.reshape(len(images), -1) - images.reshape(len(images), -1).mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    if not (lengths > 0).all():
        return np.nan
    directions = centred / lengths[:, None]
    return 1 - float(np.mean([directions[i] @ directions[j] for i, j in combinations(range(len(images)), 2)]))


def _read(diverse: Sequence[str | Path], judged: str | Path) -> xr.Dataset:
    """diversity[arch, unit, setting]; activation and response_retained[..., judge]; shares_weights[arch, judge]."""
    scored = stores.load(judged, "judged").load()
    images = {store.attrs["arch"]: store["image"].load() for store in map(stores.load, diverse)}
    values = [
        [[diversity(at) for at in unit] for unit in images[str(arch)].sel(unit=scored["unit"].values).values]
        for arch in scored["arch"].values
    ]
    activation = scored["activation"].mean("sample")
    least = activation.isel(setting=int(np.argmin(scored["setting"].values)))
    return xr.Dataset(
        {
            "diversity": (("arch", "unit", "setting"), np.asarray(values)),
            "activation": activation,
            "response_retained": xr.apply_ufunc(response_retained, activation, least),
            "shares_weights": scored["shares_weights"],
        }
    )


def _rows(head: Row, measure: str, values: xr.DataArray) -> list[Row]:
    """``values`` has dims (unit, setting)."""
    rows: list[Row] = []
    for setting in values["setting"].values:
        place = (*head, float(setting), measure)
        of_setting = values.sel(setting=setting).dropna("unit")
        pairs = zip(of_setting["unit"].values, of_setting.values, strict=True)
        rows += [(*place, "unit", str(unit), float(value)) for unit, value in pairs]
        if of_setting.size:
            rows += [(*place, name, "", float(np.quantile(of_setting.values, q))) for name, q in QUARTILES.items()]
            rows.append((*place, "n", "", of_setting.size))
    return rows
