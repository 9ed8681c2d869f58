"""Do the images also excite judges that share no weights with the generators?

Above, images of energy-guided diffusion against those of gradient ascent, unit by unit: a row per generating
architecture, a column per judge. Below, every method's activation from the mean natural image (0) to a reference
natural image (1), a row per scale: the natural image that the generators select, the one to which the judge itself
responds most, and the former at matched contrast. Both methods' images are chosen by the same rule, the highest
activation of the generators.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from v4egg.evaluation.tables.transfer_scatter import REFERENCE, ZSCORE
from v4egg.evaluation.tables.transfer_scatter import table as table
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL as NATURAL
from v4egg.evaluation.transfer_statistics import POOLED
from v4egg.figures import style

CHALLENGER = "energy_guided"
_SCALES = {
    "normalized_activation": "1: model-selected\nnatural image",
    "normalized_to_best_natural": "1: judge's best\nnatural image",
    "normalized_at_matched_contrast": "1: model-selected natural,\nmatched contrast",
}
_UPRIGHT = 4  # methods, above which the numbers stand upright
_CLOSE = 0.3  # columns nearer than this, as of three methods, have slanted numbers
_LINE: style.Look = {"linewidth": 0.7, "linestyle": (0, (4, 2)), "zorder": 0}
_NATURAL_LINE: style.Look = {"color": style.colours([NATURAL])[NATURAL], **_LINE}
_PANEL, _STRIP = 1.75, 1.75  # heights of a row of scatters and of a row of strips, inches


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`. Without one of the two methods there are no scatters."""
    numbers = numbers[(numbers["statistic"] == "unit") | (numbers["session"] == POOLED)]
    archs = list(dict.fromkeys(numbers["arch"]))
    paired = {REFERENCE, CHALLENGER} <= set(numbers["method"])
    scales = [scale for scale in _SCALES if (numbers["measure"] == scale).any()]
    heights = [_PANEL * len(archs) + 0.7] if paired else []
    heights.append(_STRIP * len(scales) + 0.5)
    figure = style.new_figure(sum(heights) + 0.1)
    blocks = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if paired:
        _draw_scatters(blocks[0], numbers[numbers["measure"] == ZSCORE])
    grid = blocks[-1].subplots(len(scales), len(archs), squeeze=False, sharey="row", sharex="col")
    for place, (row, scale) in enumerate(zip(grid, scales, strict=True)):
        rows = numbers[numbers["measure"] == scale]
        limits = style.usual_limits(rows.loc[rows["statistic"] == "unit", "value"].to_numpy())
        for axes, arch in zip(row, archs, strict=True):
            judges_of_arch = _judges(rows[rows["arch"] == arch])
            judges = {judge: judges_of_arch[judge] for judge in _judges(numbers) if judge in judges_of_arch}
            _draw_strips(axes, rows[rows["arch"] == arch], arch, judges, limits)
            name = style.label(arch) if place == 0 else ""
            axes.set_title(name, loc="left", pad=26 if _is_crowded(rows) else 13)
        row[0].set_ylabel(f"normalized activation\n({_SCALES[scale]})")
        style.panel_letter(row[0], "abcd"[place + paired], -34)
    _explain(blocks[-1], grid[0, 0], numbers)
    return figure


def _judges(rows: pd.DataFrame) -> dict[str, bool]:
    """Judge -> whether it shares weights with the generators, in the order of the table."""
    judges = rows.drop_duplicates("judge")
    return dict(zip(judges["judge"], judges["shares_weights"].astype(bool), strict=True))


def _draw_scatters(block: SubFigure, rows: pd.DataFrame) -> None:
    archs, judges = list(dict.fromkeys(rows["arch"])), list(_judges(rows))
    panels = block.subplots(len(archs), len(judges), squeeze=False)
    first = _judges(rows[rows["arch"] == archs[0]])
    for place, arch in enumerate(archs):
        shared = _judges(rows[rows["arch"] == arch])
        named = place == 0 or any(first.get(judge, part) != part for judge, part in shared.items())
        for column, judge in enumerate(judges):
            subset = rows[(rows["arch"] == arch) & (rows["judge"] == judge)]
            name = f"{style.label(judge)}\n({_part(shared[judge])})" if named and judge in shared else ""
            _draw_scatter(panels[place, column], subset, name)
        panels[place, 0].set_ylabel(f"{style.label(arch)}\n{style.label(CHALLENGER)} (z)")
    text = f"{style.label(REFERENCE)} (z-score of the judge's responses to natural images)"
    block.supxlabel(text, fontsize=style.BASE)
    style.panel_letter(panels[0, 0], "a", -34, rise=22)


def _part(shares_weights: bool) -> str:
    return "shares weights" if shares_weights else "independent"


def _draw_scatter(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    """``rows`` are the z-scores of one architecture under one judge."""
    units = rows[rows["statistic"] == "unit"].pivot(index="unit", columns="method", values="value")
    pair = units.reindex(columns=[REFERENCE, CHALLENGER])
    if pair.dropna().empty:  # a combined architecture of all architectures has no judge across
        axes.set_axis_off()
        return
    medians = rows[(rows["statistic"] == "median")].set_index("method")["value"]
    natural = medians.get(NATURAL, np.nan)
    values = np.append(pair.to_numpy().ravel(), [0.0, natural])
    values = values[np.isfinite(values)]
    margin = 0.06 * max(float(np.ptp(values)), 1.0)
    low, high = float(values.min()) - margin, float(values.max()) + margin
    style.identity_line(axes)
    axes.scatter(pair[REFERENCE], pair[CHALLENGER], color=style.BLACK, **style.POINTS)
    axes.axhline(natural, **_NATURAL_LINE)
    axes.axvline(natural, **_NATURAL_LINE)
    axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    compared = rows[(rows["against"] == REFERENCE) & (rows["method"] == CHALLENGER)]
    statistics = compared.set_index("statistic")["value"]
    slope = statistics.get("slope", np.nan)
    if np.isfinite(slope):
        axes.axline((0, 0), slope=slope, color=style.colours([CHALLENGER])[CHALLENGER], linewidth=1)
    text = _statistics_text(statistics)
    axes.set_title("\n".join(part for part in (name, text) if part), loc="left", fontsize=6.5)


def _statistics_text(statistics: pd.Series) -> str:
    slope = statistics.get("slope", np.nan)
    parts = [f"slope {style.number(slope)}" if np.isfinite(slope) else ""]
    parts.append(f"{statistics['n_won']:.0f}/{statistics['n']:.0f} above")
    q = style.q_value(statistics.get("p_adjusted", np.nan))
    return ", ".join(filter(None, parts)) + (f"\n{q}" if q else "")


def _methods(rows: pd.DataFrame) -> list[str]:
    """The methods with columns of their own: the model-selected natural image only where it is not 1 by definition."""
    own_scale = (rows["measure"] == "normalized_to_best_natural").any()
    return [method for method in dict.fromkeys(rows["method"]) if method != NATURAL or own_scale]


def _is_crowded(rows: pd.DataFrame) -> bool:
    return 0.8 / len(_methods(rows)) < _CLOSE


def _draw_strips(
    axes: Axes, rows: pd.DataFrame, arch: str, judges: dict[str, bool], limits: tuple[float, float]
) -> None:
    """``rows`` are those of one architecture on one scale."""
    methods = _methods(rows)
    colours = style.colours(methods)
    each = rows[rows["statistic"] == "unit"].set_index(["judge", "method"])["value"].sort_index()
    over = rows[(rows["unit"] == "") & (rows["against"] == "")].set_index(["judge", "method", "statistic"])["value"]
    low, high = limits
    step = 0.8 / len(methods)
    rotation = 90 if len(methods) > _UPRIGHT else 60 if step < _CLOSE else 0
    for group, judge in enumerate(judges):
        counts = []
        for rank, method in enumerate(methods):
            if (judge, method) not in each.index:
                continue
            x = group + (rank - (len(methods) - 1) / 2) * step
            values = each.loc[[(judge, method)]].to_numpy()
            within = values[(values >= low) & (values <= high)]
            style.strip(axes, x, within, colours[method], (arch, judge, method), 0.6 * step)
            style.mark_beyond(axes, x, values, (low, high), colours[method])
            numbers = [over.get((judge, method, name), np.nan) for name in style.INTERVAL]
            style.middle(axes, x, 0.4 * step, *numbers)
            style.number_above(axes, x, numbers[0], colours[method], rotation=rotation)
            counts.append(over.get((judge, method, "n"), 0))
        place: style.Look = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": 5}
        axes.text(group, 0.01, _count(counts), color=style.GREY, **place)
    style.limit(axes, limits)
    axes.axhline(1, **_NATURAL_LINE)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set_xticks(range(len(judges)), [style.judge_tick(judge, shared) for judge, shared in judges.items()])
    axes.tick_params(axis="x", length=0)


def _count(counts: Sequence[float]) -> str:
    """The number of units, or its range where methods differ in it."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"n = {high:.0f}" if low == high else f"n = {low:.0f}\u2013{high:.0f}"


def _explain(block: SubFigure, axes: Axes, numbers: pd.DataFrame) -> None:
    """What the colours mean, once for all panels of the block."""
    methods = list(dict.fromkeys(numbers["method"]))
    colours = style.colours(methods)
    handles = [axes.plot([], [], "o", color=colours[m], markersize=3, label=style.label(m))[0] for m in methods]
    handles += axes.plot([], [], color=style.BLACK, linewidth=1.4, label="median, 95% interval")
    handles += axes.plot([], [], label="reference natural image", **_NATURAL_LINE)
    block.legend(handles=handles, loc="outside lower center", ncols=style.legend_columns(handles))
