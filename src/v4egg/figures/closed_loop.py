"""What is gained by showing a brain the images made for it, against natural images shown equally often.

Rows: one for each closed loop. Relative activation over presentations; the two arms unit by unit after the last round;
promise against truth before and after.
"""

import itertools
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.closed_loop import NATURAL, SYNTHESISED
from v4egg.figures import style
from v4egg.io import stores
from v4egg.stats.inference import bootstrap_interval, paired_wilcoxon

_COLOURS = {SYNTHESISED: style.colours(["energy_guided"])["energy_guided"], NATURAL: style.GREY}
_LABELS = {SYNTHESISED: "shown the images made", NATURAL: "shown natural images"}
_HEIGHT = 2.1  # inches a row


def table(loops: Sequence[str | Path]) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: session, arch, arm, round, presentations, statistic, unit, value. Statistics of a unit: ``activation``,
    ``predicted``, ``normalized_activation``; over units: ``median``, ``low`` and ``high`` of the last; and, in the last
    round, of the arm shown its own images against the other ``p_value``, ``effect`` (rank-biserial) and ``n_won``.
    """
    return pd.concat([_table(loop) for loop in _read(loops)], ignore_index=True)


@style.styled
def draw(loops: Sequence[str | Path]) -> Figure:
    """The figure."""
    found = _read(loops)
    figure = style.new_figure(_HEIGHT * len(found) + 0.3)
    panels = figure.subplots(len(found), 3, squeeze=False, width_ratios=(1.3, 1, 1))
    letters = itertools.cycle(string.ascii_lowercase)
    for (course, pairs, promise), loop in zip(panels, found, strict=True):
        _draw_course(course, loop)
        _draw_pairs(pairs, loop)
        _draw_promise(promise, loop)
        for axes in (course, pairs, promise):
            style.panel_letter(axes, next(letters), -28)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _read(paths: Sequence[str | Path]) -> list[xr.Dataset]:
    return [stores.load(path, "closed_loop").load() for path in paths]


def _draw_course(axes: Axes, loop: xr.Dataset) -> None:
    x = loop["presentations"].values
    for arm, colour in _COLOURS.items():
        values = loop["normalized_activation"].sel(arm=arm).values
        axes.plot(x, values, color=colour, linewidth=0.4, alpha=0.35)
        middle = np.array([_interval(loop, arm, round_index, values[round_index]) for round_index in range(len(x))])
        axes.fill_between(x, middle[:, 1], middle[:, 2], color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, middle[:, 0], "o-", color=colour, markersize=3, linewidth=1.4, label=_LABELS[arm])
    axes.axhline(1, color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 2)), label="best natural image")
    axes.set(xlabel="presentations", ylabel="relative activation\nunder the simulated brain", xticks=x)
    axes.set_title(f"{loop.attrs['session']}, {style.label(loop.attrs['arch'])}", loc="left")


def _draw_pairs(axes: Axes, loop: xr.Dataset) -> None:
    last = loop["normalized_activation"].isel(round=-1)
    x, y = last.sel(arm=NATURAL).values, last.sel(arm=SYNTHESISED).values
    axes.scatter(x, y, color=style.BLACK, **style.POINTS)
    _square(axes, x, y)
    test = paired_wilcoxon(y, x)
    p = "" if not np.isfinite(test.p_value) else f", p = {test.p_value:.2g}"
    axes.set_title(f"{int(np.sum(y > x))}/{int(np.isfinite(y - x).sum())} above{p}", loc="left")
    axes.set(xlabel=_LABELS[NATURAL], ylabel=_LABELS[SYNTHESISED])


def _draw_promise(axes: Axes, loop: xr.Dataset) -> None:
    own = loop.sel(arm=SYNTHESISED)
    shown = []
    for round_index, fill in ((0, "white"), (-1, _COLOURS[SYNTHESISED])):
        here = own.isel(round=round_index)
        x, y = here["predicted"].values, here["activation"].values
        label = "first round" if round_index == 0 else "last round"
        axes.scatter(x, y, s=9, facecolors=fill, edgecolors=_COLOURS[SYNTHESISED], linewidths=0.6, label=label)
        shown.append(np.stack([x, y]))
    _square(axes, *np.concatenate(shown, 1))
    axes.set(xlabel="promised by the encoders", ylabel="given by the brain")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), ncols=2, handletextpad=0.1, borderpad=0.2)


def _square(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    values = np.concatenate([x, y])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = 0.08 * max(high - low, 0.1)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), box_aspect=1)
    style.identity_line(axes)


def _interval(loop: xr.Dataset, arm: str, round_index: int, values: np.ndarray) -> tuple[float, float, float]:
    """Median over units and its 95% bootstrap interval."""
    values = values[np.isfinite(values)]
    median = float(np.median(values)) if values.size else np.nan
    key = ("closed loop", loop.attrs["session"], loop.attrs["arch"], arm, round_index)
    return median, *bootstrap_interval(values, np.median, key)


def _table(loop: xr.Dataset) -> pd.DataFrame:
    frame = loop[["activation", "predicted", "normalized_activation"]].to_dataframe().reset_index()
    units = frame.melt(["arm", "round", "unit"], var_name="statistic").dropna(subset="value")
    rows = []
    for arm in loop["arm"].values:
        for round_index in range(loop.sizes["round"]):
            values = loop["normalized_activation"].sel(arm=arm).isel(round=round_index).values
            numbers = zip(("median", "low", "high"), _interval(loop, str(arm), round_index, values), strict=True)
            rows += [(str(arm), round_index, "", name, value) for name, value in numbers]
    last = loop["normalized_activation"].isel(round=-1)
    own, other = last.sel(arm=SYNTHESISED).values, last.sel(arm=NATURAL).values
    test = paired_wilcoxon(own, other)
    tests = {"p_value": test.p_value, "effect": test.rank_biserial, "n_won": float(np.sum(own > other))}
    rows += [(SYNTHESISED, loop.sizes["round"] - 1, "", name, value) for name, value in tests.items()]
    over = pd.DataFrame(rows, columns=["arm", "round", "unit", "statistic", "value"]).dropna(subset="value")
    whole = pd.concat([units, over], ignore_index=True)
    whole["presentations"] = loop["presentations"].values[whole["round"].astype(int)]
    whole = whole.assign(session=loop.attrs["session"], arch=loop.attrs["arch"])
    return whole[["session", "arch", "arm", "round", "presentations", "statistic", "unit", "value"]]
