"""Invariances: how much a unit's images can differ, and what that costs in response."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from v4egg.evaluation.tables.diverse import table as table
from v4egg.figures import style, tiles
from v4egg.io import stores

MAX_IMAGES = 12  # in a row
_PANELS = 2.3  # inches


@style.styled
def draw(numbers: pd.DataFrame, diverse: Sequence[str | Path]) -> Figure:
    """Draw images of the first units of the first architecture by weight, then a panel per architecture.

    Args:
        numbers: The table of :func:`table`.
        diverse: The stores of the images, one per architecture.
    """
    archs = list(dict.fromkeys(numbers["arch"]))
    images = next(store["image"] for store in map(stores.load, diverse) if store.attrs["arch"] == archs[0])
    rows, titles = _image_rows(images)
    figure = tiles.sheet(rows, titles, _PANELS + tiles.LEGEND)
    thirds = [1.0] * max(len(archs), 3)  # a single panel is no wider than a third
    axes = tiles.panels(figure, _PANELS, thirds, tiles.LEGEND)
    for spare in axes[len(archs) :]:
        spare.remove()
    for panel, arch, letter in zip(axes, archs, "bcdefgh", strict=False):
        _draw_curves(panel, numbers[numbers["arch"] == arch], arch)
        style.panel_letter(panel, letter, -34, rise=12)
    axes[0].set_ylabel("response\n(1: at the smallest weight)")
    shared = numbers[numbers["judge"] != ""].groupby("judge", sort=False)["shares_weights"].all()
    handles = style.judge_handles(axes[0], dict(shared))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
    return figure


def _image_rows(images: xr.DataArray) -> tuple[list[tiles.Row], list[str]]:
    """As many units as fit side by side, a row for each weight; titles over the first image of each unit."""
    each = min(images.sizes["sample"], MAX_IMAGES)
    excerpt = images.isel(unit=slice(0, max(1, MAX_IMAGES // each)), sample=slice(0, each)).load()
    breaks = tuple(range(each, each * excerpt.sizes["unit"], each))
    rows = []
    for weight in excerpt["setting"].values:
        tiled = [image for unit in excerpt.sel(setting=weight).values for image in unit]
        rows.append(tiles.Row(f"weight {weight:g}", tiled, breaks=breaks))
    titles = [[tiles.over_two_lines(str(unit)), *[""] * (each - 1)] for unit in excerpt["unit"].values]
    return rows, [title for unit in titles for title in unit]


def _draw_curves(axes: Axes, part: pd.DataFrame, arch: str) -> None:
    over = part[part["unit"] == ""]
    diversity = over[over["measure"] == "diversity"].pivot(index="weight", columns="statistic", values="value")
    for (judge,), rows in style.groups(over[over["measure"] == "response_retained"], "judge"):
        wide = rows.pivot(index="weight", columns="statistic", values="value").reindex(diversity.index)
        reach = np.abs(wide[["q25", "q75"]].to_numpy().T - wide["median"].to_numpy())
        x = diversity["median"]
        axes.errorbar(x, wide["median"], reach, elinewidth=0.6, linewidth=0.9, **style.judge_look(judge))
    axes.axhline(1, color=style.LIGHT, linewidth=0.6, zorder=0)
    place = style.above(axes)
    for weight, at in diversity["median"].items():
        axes.text(at, 1.0, f"{weight:g}", color=style.GREY, **place)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("diversity (1 − correlation)")
    axes.set_title(f"{style.label(arch)} ({diversity['n'].max():.0f} units)", loc="left", pad=12)
