"""Do the images also excite judges that did not take part in making them?

Above, energy guided against gradient ascent images, unit by unit: a row per generating architecture, a column per
judge. Below, every method's activation on the scale from the mean natural image (0) to the best one (1). Slopes are
Huber regressions through the origin, p values two-sided paired Wilcoxon tests; both methods' images are chosen by the
same rule, the highest activation of the generators.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import best_images, load_transfer
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL as NATURAL
from v4egg.evaluation.transfer import NOISE
from v4egg.evaluation.transfer_statistics import HEAD, RELATIVE, against_natural, between_methods
from v4egg.figures import style
from v4egg.stats.inference import huber_slope, paired_wilcoxon

REFERENCE, CHALLENGER = "gradient_ascent", "energy_guided"
_CLOSE = 0.3  # columns nearer than this, as of three methods, have slanted numbers
_NATURAL_LINE = {"color": style.colours([NATURAL])[NATURAL], "linewidth": 0.7, "linestyle": (0, (4, 2)), "zorder": 0}
_PANEL, _STRIP = 1.75, 2.1  # heights of a row of scatters and of the strips, inches


def table(transfer: str | Path) -> pd.DataFrame:
    """Every number of the figure, and the statistics at matched contrast and against each judge's own best image.

    One number a row; columns: session, arch, judge, shares_weights, measure, method, against, statistic, unit, value.
    Per
    unit: ``zscore`` and the relative activations of each method (statistic ``unit``). Over units: the columns of
    :func:`v4egg.evaluation.transfer_statistics.against_natural` and, against another method,
    :func:`v4egg.evaluation.transfer_statistics.between_methods`.

    Raises:
        V4eggError: the store holds no synthesised images, or no judge named generators.
    """
    best, shares_weights = _read(transfer)
    tables = [
        _unit_table(best, shares_weights),
        against_natural(best, shares_weights),
        between_methods(best, shares_weights),
    ]
    long = [tables[0], *(_melted(statistics) for statistics in tables[1:])]
    return pd.concat(long, ignore_index=True)[[*HEAD, "against", "statistic", "unit", "value"]]


@style.styled
def draw(transfer: str | Path) -> Figure:
    """The figure. Without one of the two methods there are no scatters. Raises as :func:`table` does."""
    best, shares_weights = _read(transfer)
    archs = [str(arch) for arch in best["arch"].values]
    paired = {REFERENCE, CHALLENGER} <= {str(method) for method in best["method"].values}
    heights = [_PANEL * len(archs) + 0.7, _STRIP] if paired else [_STRIP]
    figure = style.new_figure(sum(heights) + 0.1)
    blocks = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if paired:
        _draw_scatters(blocks[0], best, shares_weights)
    strips = blocks[-1].subplots(1, len(archs), squeeze=False, sharey=True)[0]
    limits = style.usual_limits(best["normalized_activation"].values)
    for axes, arch in zip(strips, archs, strict=True):
        _draw_strips(axes, best["normalized_activation"].sel(arch=arch), shares_weights.sel(arch=arch), arch, limits)
    strips[0].set_ylabel("relative activation")
    _explain(blocks[-1], strips[0], best)
    style.panel_letter(strips[0], "b" if paired else "a", -30)
    return figure


def _read(path: str | Path) -> tuple[xr.Dataset, xr.DataArray]:
    transfer = load_transfer(path)
    if set(map(str, transfer["method"].values)) <= {NATURAL, NOISE}:
        raise V4eggError(
            f"{path}: holds natural images only; make images by a method of the configuration (synthesis.methods)"
        )
    return best_images(transfer), transfer["shares_weights"]


def _draw_scatters(block: SubFigure, best: xr.Dataset, shares_weights: xr.DataArray) -> None:
    archs, judges = best["arch"].values, best["judge"].values
    panels = block.subplots(len(archs), len(judges), squeeze=False)
    for row, arch in enumerate(archs):
        named = row == 0 or bool((shares_weights.sel(arch=arch) != shares_weights.isel(arch=0)).any())
        for column, judge in enumerate(judges):
            name = _judge_label(str(judge), shares_weights.sel(arch=arch)).replace(" (", "\n(") if named else ""
            _draw_scatter(panels[row, column], best["zscore"].sel(arch=arch, judge=judge), name)
        panels[row, 0].set_ylabel(f"{style.label(str(arch))}\n{style.label(CHALLENGER)} (z)")
    block.supxlabel(
        f"{style.label(REFERENCE)} (z-score of the judge's responses to natural images)", fontsize=style.BASE
    )
    style.panel_letter(panels[0, 0], "a", -34, rise=22)


def _draw_scatter(axes: Axes, zscore: xr.DataArray, name: str) -> None:
    """``zscore`` has dims (method, unit)."""
    x, y = zscore.sel({"method": REFERENCE}).values, zscore.sel({"method": CHALLENGER}).values
    if not np.isfinite(x - y).any():  # a combined architecture of all architectures has no judge across
        axes.set_axis_off()
        return
    natural = _median(zscore.sel({"method": NATURAL}).values) if NATURAL in zscore["method"].values else np.nan
    shown = np.concatenate([x, y, [0.0, natural]])
    shown = shown[np.isfinite(shown)]
    margin = 0.06 * max(float(np.ptp(shown)), 1.0)
    low, high = float(shown.min()) - margin, float(shown.max()) + margin
    style.identity_line(axes)
    axes.scatter(x, y, color=style.BLACK, **style.POINTS)
    axes.axhline(natural, **_NATURAL_LINE)
    axes.axvline(natural, **_NATURAL_LINE)
    axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    statistics = _statistics(x, y)
    slope = statistics["huber_slope"]
    if np.isfinite(slope):
        axes.axline((0, 0), slope=slope, color=style.colours([CHALLENGER])[CHALLENGER], linewidth=1)
    axes.set_title("\n".join(part for part in (name, _statistics_text(statistics)) if part), loc="left", fontsize=6.5)


def _statistics_text(statistics: dict[str, float]) -> str:
    slope, p = statistics["huber_slope"], statistics["wilcoxon_p"]
    above = f"{statistics['n_won']:.0f}/{statistics['n_units']:.0f} above"
    parts = [f"slope {style.number(slope)}" if np.isfinite(slope) else "", above]
    p_text = "" if not np.isfinite(p) else "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return ", ".join(part for part in parts if part) + (f"\n{p_text}" if p_text else "")


def _draw_strips(
    axes: Axes, relative: xr.DataArray, shares_weights: xr.DataArray, arch: str, limits: tuple[float, float]
) -> None:
    """``relative`` has dims (method, unit, judge)."""
    methods = [str(method) for method in relative["method"].values if method != NATURAL]
    colours = style.colours(methods)
    low, high = limits
    step = 0.8 / len(methods)
    for group, judge in enumerate(relative["judge"].values):
        for rank, method in enumerate(methods):
            x = group + (rank - (len(methods) - 1) / 2) * step
            values = relative.sel({"method": method, "judge": judge}).values
            within = values[(values >= low) & (values <= high)]
            style.strip(axes, x, within, colours[method], (arch, str(judge), method), 0.6 * step)
            style.mark_beyond(axes, x, values, (low, high), colours[method])
            _draw_median(axes, x, _median(values), step, colours[method])
    style.limit(axes, limits)
    axes.axhline(1, **_NATURAL_LINE)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set_xticks(
        range(relative.sizes["judge"]), [_tick(str(judge), shares_weights) for judge in relative["judge"].values]
    )
    axes.tick_params(axis="x", length=0)
    axes.set_title(style.label(arch), loc="left", pad=24 if step < _CLOSE else 13)


def _draw_median(axes: Axes, x: float, median: float, step: float, colour: str) -> None:
    axes.plot([x - 0.4 * step, x + 0.4 * step], [median, median], color=style.BLACK, linewidth=1.4)
    style.number_above(axes, x, median, colour, rotation=60 if step < _CLOSE else 0)


def _explain(block: SubFigure, axes: Axes, best: xr.Dataset) -> None:
    """What the colours mean, once for all panels of the block."""
    methods = [str(method) for method in best["method"].values if method != NATURAL]
    colours = style.colours(methods)
    handles = [axes.plot([], [], "o", color=colours[m], markersize=3, label=style.label(m))[0] for m in methods]
    median = axes.plot([], [], color=style.BLACK, linewidth=1.4, label="median")[0]
    natural = axes.plot([], [], label=style.label(NATURAL), **_NATURAL_LINE)[0]
    block.legend(handles=[*handles, median, natural], loc="outside lower center", ncols=len(handles) + 2)


def _judge_label(judge: str, shares_weights: xr.DataArray) -> str:
    return f"{style.label(judge)} ({'took part' if bool(shares_weights.sel(judge=judge)) else 'held out'})"


def _tick(judge: str, shares_weights: xr.DataArray) -> str:
    name = style.wrapped(judge)
    return f"{name}\n(took part)" if bool(shares_weights.sel(judge=judge)) else name


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def _statistics(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Of the challenger's ``y`` against the reference's ``x``, (unit,) each, over units that have both."""
    test = paired_wilcoxon(y, x)
    return {
        "huber_slope": huber_slope(x, y),
        "wilcoxon_p": test.p_value,
        "rank_biserial": test.rank_biserial,
        "n_won": float(np.sum(y > x)),
        "n_units": float(np.isfinite(x - y).sum()),
    }


def _unit_table(best: xr.Dataset, shares_weights: xr.DataArray) -> pd.DataFrame:
    measures = ["zscore", *RELATIVE]
    frame = best[measures].drop_vars("sample").to_dataframe().reset_index().melt(["method", "arch", "unit", "judge"])
    frame = frame.rename(columns={"variable": "measure"}).dropna(subset="value")
    shared = shares_weights.to_series().rename("shares_weights").reset_index()
    session = frame["unit"].astype(str).str.rsplit("-", n=1).str[0]
    return frame.merge(shared, on=["arch", "judge"]).assign(session=session.values, against="", statistic="unit")


def _melted(statistics: pd.DataFrame) -> pd.DataFrame:
    """A table of statistics as one number a row."""
    statistics = statistics if "against" in statistics else statistics.assign(against="")
    return statistics.melt([*HEAD, "against"], var_name="statistic").assign(unit="").dropna(subset="value")
