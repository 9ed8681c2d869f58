"""Invariances: how much a unit's images can differ, and what that costs in response.

The diversity of a unit's images is 1 minus the mean correlation between two of them, over all pixels and channels: 0
for copies, 1 for unrelated images. Responses are means over the unit's images, divided by the mean at the smallest
weight of diversity under the same judge, where that is above 0.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from v4egg.figures import style, tiles
from v4egg.io import stores

MAX_IMAGES = 12  # in a row
_PANELS = 2.3  # inches
_QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def table(diverse: Sequence[str | Path], judged: str | Path) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: arch, judge, shares_weights, weight, measure (``diversity``, ``activation``, ``normalized_activation``),
        statistic
    (``unit``; ``q25``, ``median``, ``q75`` over units), unit, value. Diversity has no judge.
    """
    read = _read(diverse, judged)
    rows: list[tuple] = []
    for arch in map(str, read["arch"].values):
        here = read.sel(arch=arch)
        rows += _rows((arch, "", ""), "diversity", here["diversity"])
        for judge in map(str, here["judge"].values):
            head = (arch, judge, bool(here["shares_weights"].sel(judge=judge)))
            for measure in ("activation", "normalized_activation"):
                rows += _rows(head, measure, here[measure].sel(judge=judge))
    columns = ["arch", "judge", "shares_weights", "weight", "measure", "statistic", "unit", "value"]
    return pd.DataFrame(rows, columns=columns)


@style.styled
def draw(diverse: Sequence[str | Path], judged: str | Path) -> Figure:
    """Images of the first units of the first architecture by weight, then the curves by architecture."""
    read = _read(diverse, judged)
    archs = [str(arch) for arch in read["arch"].values]
    rows, titles = _image_rows(_images(diverse)[archs[0]])
    figure = tiles.sheet(rows, titles, _PANELS + tiles.LEGEND)
    axes = tiles.panels(
        figure, _PANELS, [1.0] * max(len(archs), 3), tiles.LEGEND
    )  # of one architecture no wider than a third
    for spare in axes[len(archs) :]:
        spare.remove()
    for panel, arch, letter in zip(axes, archs, "bcdefgh", strict=False):
        _draw_curves(panel, read.sel(arch=arch), arch)
        style.panel_letter(panel, letter, -34, rise=12)
    axes[0].set_ylabel("response\n(1: at the smallest weight)")
    _explain(figure, axes[0], read)
    return figure


def diversity(images: np.ndarray) -> float:
    """1 minus the mean correlation between two of the images (n, channel, y, x); NaN where one is uniform."""
    centred = images.reshape(len(images), -1) - images.reshape(len(images), -1).mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    if not (lengths > 0).all():
        return np.nan
    directions = centred / lengths[:, None]
    return 1 - float(np.mean([directions[i] @ directions[j] for i, j in combinations(range(len(images)), 2)]))


def _images(diverse: Sequence[str | Path]) -> dict[str, xr.DataArray]:
    return {store.attrs["arch"]: store["image"].load() for store in map(stores.load, diverse)}


def _read(diverse: Sequence[str | Path], judged: str | Path) -> xr.Dataset:
    """diversity[arch, unit, setting]; activation and normalized_activation[..., judge]; shares_weights[arch, judge]."""
    scored = stores.load(judged, "judged").load()
    images = _images(diverse)
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
            "normalized_activation": activation / least.where(least > 0),
            "shares_weights": scored["shares_weights"],
        }
    )


def _rows(head: tuple, measure: str, values: xr.DataArray) -> list[tuple]:
    """``values`` has dims (unit, setting)."""
    rows = []
    for setting in values["setting"].values:
        at = values.sel(setting=setting)
        place = (*head, float(setting), measure)
        finite = at.dropna("unit")
        pairs = zip(finite["unit"].values, finite.values, strict=True)
        rows += [(*place, "unit", str(unit), float(value)) for unit, value in pairs]
        if finite.size:
            rows += [(*place, name, "", float(np.quantile(finite.values, q))) for name, q in _QUARTILES.items()]
    return rows


def _image_rows(images: xr.DataArray) -> tuple[list[tiles.Row], list[str]]:
    """As many units as fit side by side, a row for each weight; titles over the first image of each unit."""
    each = min(images.sizes["sample"], MAX_IMAGES)
    shown = images.isel(unit=slice(0, max(1, MAX_IMAGES // each)), sample=slice(0, each))
    breaks = tuple(range(each, each * shown.sizes["unit"], each))
    rows = [
        tiles.Row(
            f"weight {weight:g}", [image for unit in shown.sel(setting=weight).values for image in unit], breaks=breaks
        )
        for weight in shown["setting"].values
    ]
    titles = [
        tiles.over_two_lines(str(unit)) if sample == 0 else ""
        for unit in shown["unit"].values
        for sample in range(each)
    ]
    return rows, titles


def _draw_curves(axes: Axes, here: xr.Dataset, arch: str) -> None:
    x = here["diversity"].median("unit").values
    for judge in map(str, here["judge"].values):
        relative = here["normalized_activation"].sel(judge=judge)
        if relative.isnull().all():
            continue
        middle = relative.quantile(list(_QUARTILES.values()), "unit").values
        reach = np.abs(middle[[0, 2]] - middle[1])
        axes.errorbar(x, middle[1], reach, elinewidth=0.6, linewidth=0.9, **style.judge_look(judge))
    axes.axhline(1, color=style.LIGHT, linewidth=0.6, zorder=0)
    for at, weight in zip(x, here["setting"].values, strict=True):
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": style.SMALL}
        axes.text(at, 1.0, f"{weight:g}", color=style.GREY, **place)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("diversity (1 − correlation)")
    axes.set_title(style.label(arch), loc="left", pad=12)


def _explain(figure: Figure, axes: Axes, read: xr.Dataset) -> None:
    handles = []
    for judge in map(str, read["judge"].values):
        part = " (took part)" if bool(read["shares_weights"].sel(judge=judge).all()) else ""
        handles += axes.plot([], [], label=style.label(judge) + part, linewidth=0.9, **style.judge_look(judge))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
