"""Most exciting naturalistic images: what lambda does to the response, against gradient ascent and natural images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.evaluation.tables.meni import ASCENT
from v4egg.evaluation.tables.meni import table as table
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL as NATURAL
from v4egg.figures import style, tiles
from v4egg.io import stores

GUIDED = "energy_guided"
MAX_UNITS = 8
_PANELS = 2.2  # inches: the height of an architecture's panels
_DASHES: style.Look = {"linewidth": 0.7, "linestyle": (0, (4, 2))}


@style.styled
def draw(
    numbers: pd.DataFrame,
    meni: Sequence[str | Path],
    natural: Sequence[str | Path],
    ascent: Sequence[str | Path],
) -> Figure:
    """Draw images of the first architecture, then responses over lambda, by architecture.

    Args:
        numbers: The table of :func:`table`.
        meni: The stores of the MENIs, one per architecture.
        natural: The stores of the natural images, likewise.
        ascent: The stores of the images of gradient ascent, likewise.
    """
    archs = list(dict.fromkeys(numbers["arch"]))
    units = list(dict.fromkeys(numbers.loc[numbers["unit"] != "", "unit"]))[:MAX_UNITS]
    rows = _image_rows(units, *(_images_of(paths, archs[0]) for paths in (natural, meni, ascent)))
    figure = tiles.sheet(rows, [tiles.over_two_lines(unit) for unit in units], _PANELS * len(archs) + tiles.LEGEND)
    letters = iter("bcdefghijklmnopqrstuvwxyz")
    for row, arch in enumerate(archs):
        rise = tiles.LEGEND + _PANELS * (len(archs) - 1 - row)
        curve, strip = tiles.panels(figure, _PANELS, [1.4, 1.0], rise)
        part = numbers[numbers["arch"] == arch]
        _draw_curves(curve, part, arch)
        _draw_strip(strip, part[part["most_independent"] & (part["image"] == "meni")], arch)
        for axes in (curve, strip):
            style.panel_letter(axes, next(letters), -34, rise=12)
    _explain(figure, curve, numbers)
    return figure


def _images_of(paths: Sequence[str | Path], arch: str) -> xr.DataArray:
    """The images of one architecture's store."""
    matches = [store for store in map(stores.load, paths) if store.attrs.get("arch") == arch]
    if not matches:
        raise V4eggError(f"meni: no store of architecture {arch} among {[str(path) for path in paths]}")
    return matches[0]["image"]


def _image_rows(
    units: Sequence[str], natural: xr.DataArray, meni: xr.DataArray, ascent: xr.DataArray
) -> list[tiles.Row]:
    def first(images: xr.DataArray) -> list[np.ndarray]:
        return list(images.isel(sample=0).sel(unit=units).values)

    colours = style.colours([NATURAL, GUIDED, ASCENT])
    guided = [
        tiles.Row(f"λ = {setting:g}", first(meni.sel(setting=setting)), colour=colours[GUIDED])
        for setting in meni["setting"].values
    ]
    natural_row = tiles.Row("best natural\nof the pool", first(natural), colour=colours[NATURAL])
    return [natural_row, *guided, tiles.Row(style.label(ASCENT), first(ascent), colour=colours[ASCENT])]


def _draw_curves(axes: Axes, part: pd.DataFrame, arch: str) -> None:
    over = part[part["unit"] == ""]
    settings = sorted(part["energy_scale"].dropna().unique())
    judges = list(dict.fromkeys(part["judge"]))
    for rank, judge in enumerate(judges):
        look = style.judge_look(judge)
        shift = 0.08 * (rank - (len(judges) - 1) / 2)
        rows = over[over["judge"] == judge].assign(place=lambda r: r["energy_scale"].fillna(-np.inf))
        wide = rows.pivot(index="place", columns="statistic", values="value").reindex([-np.inf, *settings])
        x, middle = np.arange(len(wide)) + shift, wide["median"].to_numpy()
        reach = np.abs(wide[["q25", "q75"]].to_numpy().T - middle)
        axes.errorbar(x, middle, reach, linestyle="none", elinewidth=0.6, **look)
        axes.plot(x[1:], middle[1:], color=look["color"], linewidth=0.9)
    axes.axhline(1, color=style.colours([ASCENT])[ASCENT], zorder=0, **_DASHES)
    axes.set_xticks(range(len(settings) + 1), ["natural", *(f"{s:g}" for s in settings)])
    axes.set_xlabel("λ")
    axes.set_ylabel("response\n(1: gradient ascent)")
    n_units = over.loc[over["statistic"] == "n", "value"].max()
    axes.set_title(f"{style.label(arch)} ({n_units:.0f} units)", loc="left", pad=12)


def _draw_strip(axes: Axes, rows: pd.DataFrame, arch: str) -> None:
    """``rows`` are those of MENIs under the most independent judge."""
    if rows.empty:
        axes.text(0.5, 0.5, "every judge\nshares weights", transform=axes.transAxes, ha="center", va="center")
        axes.set_axis_off()
        return
    judge = rows["judge"].iloc[0]
    colours = style.colours([GUIDED, NATURAL])
    each = rows[rows["statistic"] == "ratio"]
    # a ratio has long tails, and a unit is in every column
    low, high = style.usual_limits(each["value"].to_numpy(), (0.1, 0.9))
    settings = sorted(rows["energy_scale"].unique())
    for x, setting in enumerate(settings):
        numbers = rows[(rows["energy_scale"] == setting) & (rows["unit"] == "")].set_index("statistic")["value"]
        ratios = each.loc[each["energy_scale"] == setting, "value"].to_numpy()
        within = ratios[(ratios >= low) & (ratios <= high)]
        style.strip(axes, x, within, colours[GUIDED], (arch, judge, float(setting)), 0.4)
        style.mark_beyond(axes, x, ratios, (low, high), colours[GUIDED])
        style.middle(axes, x, 0.3, numbers["median_ratio"])
        won = f"{numbers['n_won']:.0f}/{numbers['n_units']:.0f}"
        text = "\n".join(filter(None, [won, style.q_value(numbers["p_adjusted"])]))
        axes.text(x, 1.01, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=style.SMALL)
    style.limit(axes, (low, high))
    axes.axhline(1, color=colours[NATURAL], zorder=0, **_DASHES)
    axes.set_xticks(range(len(settings)), [f"{s:g}" for s in settings])
    axes.set_xlim(-0.6, len(settings) - 0.4)
    axes.set_xlabel("λ")
    axes.set_ylabel(f"{style.label(judge)}: response\n(1: model-selected natural)")


def _explain(figure: Figure, axes: Axes, numbers: pd.DataFrame) -> None:
    """What the markers mean, once for all panels."""
    handles = style.judge_handles(axes, dict(numbers.groupby("judge", sort=False)["shares_weights"].all()))
    for name in (ASCENT, NATURAL):
        handles += axes.plot([], [], color=style.colours([name])[name], label=style.label(name), **_DASHES)
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), columnspacing=1.2, handletextpad=0.5)
