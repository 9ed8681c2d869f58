"""What an image costs, how fast each method climbs, and what judges say of what the cost has bought.

Seconds and encoder evaluations per image (evaluations: images that the encoder saw), by method and architecture, and
the generators' activation along the synthesis. The activation of each unit, averaged over samples, is divided by where
gradient ascent ended for that unit; units that it left at or below zero have no such scale. With a transfer store, the
activation of every judge at the end against the evaluations that it took, over that of the natural image that this
judge likes best.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import gather, load_transfer, mei_stores
from v4egg.figures import style

REFERENCE = "gradient_ascent"
_COSTS = {"seconds": "seconds per image", "evaluations": "encoder evaluations per image"}
_MANY = 4  # costs in a panel, above which their numbers stand upright
_QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def table(meis: Sequence[str | Path], transfer: str | Path | None = None) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: method, arch, measure (``seconds``, ``evaluations``, ``normalized_activation``, ``judged``: by ``judge``),
    statistic (``image``, ``mean``, ``ratio``: the mean of gradient ascent over this method's; ``q25``, ``median``,
    ``q75`` over units), unit, sample, step_fraction, evaluations (an image, until then), judge, shares_weights, value.

    Raises:
        V4eggError: there is no store, or a store lacks its attributes.
    """
    groups = _read(meis)
    columns = ["method", "arch", "measure", "statistic", "unit", "sample", "step_fraction", "evaluations", "judge"]
    parts = [_cost_table(groups, measure) for measure in _COSTS] + [_trajectory_table(groups)]
    parts += [] if transfer is None else [_judged_table(groups, load_transfer(transfer))]
    return pd.concat(parts).reindex(columns=[*columns, "shares_weights", "value"]).reset_index(drop=True)


@style.styled
def draw(meis: Sequence[str | Path], transfer: str | Path | None = None) -> Figure:
    """The figure: costs on logarithmic axes, then trajectories and judges by architecture. Raises as :func:`table`."""
    groups = _read(meis)
    archs = list(dict.fromkeys(arch for _, arch in groups))
    colours = style.colours(list(dict.fromkeys(method for method, _ in groups)))
    figure = style.new_figure(2.5 if transfer is None else 5.0)
    upper, *lower = [figure] if transfer is None else figure.subfigures(2, 1)
    ratios = [0.5 + 0.15 * len(archs) * len(colours)] * 2 + [1.0] * len(archs)
    axes = upper.subplots(1, 2 + len(archs), squeeze=False, width_ratios=ratios)[0]
    for panel, measure in zip(axes, _COSTS, strict=False):
        _draw_costs(panel, _cost_table(groups, measure), measure, archs, colours)
    trajectories = _trajectory_table(groups)
    for panel, arch in zip(axes[2:], archs, strict=True):
        _draw_trajectories(panel, trajectories[trajectories["arch"] == arch], arch, colours)
    for other in axes[3:]:
        other.sharey(axes[2])
    axes[2].set_ylabel(f"generators' activation\n(1: final of {style.label(REFERENCE)})")
    for panel, letter in zip(axes[:3], "abc", strict=True):
        style.panel_letter(panel, letter, -28)
    if lower:
        _draw_judges(lower[0], _judged_table(groups, load_transfer(transfer)), archs, colours)
    handles = [axes[0].plot([], [], "o", color=c, markersize=3, label=style.label(m))[0] for m, c in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _read(meis: Sequence[str | Path]) -> dict[tuple[str, str], list]:
    groups = mei_stores(meis)
    if not groups:
        raise V4eggError("compute_time: no mei stores are given; make images by a method of the configuration")
    return groups


def _cost_table(groups: dict[tuple[str, str], list], measure: str) -> pd.DataFrame:
    """Cost of every image, the means, and the ratio of gradient ascent's mean to each other method's."""
    parts, means = [], {}
    for (method, arch), batches in groups.items():
        head = {"method": method, "arch": arch, "measure": measure}
        images = gather(batches, measure).astype(float).to_series().dropna().rename("value").reset_index()
        means[method, arch] = images["value"].mean()
        parts.append(images[["unit", "sample", "value"]].assign(**head, statistic="image"))
        parts.append(pd.DataFrame([{**head, "statistic": "mean", "value": means[method, arch]}]))
    for (method, arch), mean in means.items():
        ratio = means.get((REFERENCE, arch), np.nan) / mean if mean > 0 else np.nan
        if method != REFERENCE and np.isfinite(ratio):
            row = {"method": method, "arch": arch, "measure": measure, "statistic": "ratio", "value": ratio}
            parts.append(pd.DataFrame([row]))
    return pd.concat(parts, ignore_index=True)


def _judged_table(groups: dict[tuple[str, str], list], transfer: xr.Dataset) -> pd.DataFrame:
    """Quartiles over units of what each judge says of the images, each unit's mean over samples."""
    shares_weights = transfer["shares_weights"].to_series()
    rows = []
    for (method, arch), batches in groups.items():
        if method not in transfer["method"].values or arch not in transfer["arch"].values:
            continue
        evaluations = float(gather(batches, "evaluations").mean())
        judged = transfer["normalized_to_best_natural"].sel({"method": method, "arch": arch}).mean("sample")
        for judge in map(str, judged["judge"].values):
            values = judged.sel(judge=judge).to_series().dropna()
            head = (method, arch, "judged", evaluations, judge, bool(shares_weights[arch, judge]))
            rows += [(*head, name, values.quantile(q)) for name, q in _QUARTILES.items() if len(values)]
    columns = ["method", "arch", "measure", "evaluations", "judge", "shares_weights", "statistic", "value"]
    return pd.DataFrame(rows, columns=columns)


def _trajectory_table(groups: dict[tuple[str, str], list]) -> pd.DataFrame:
    """Quartiles over units of the normalised activation, by step as a fraction of the synthesis."""
    rows = []
    for (method, arch), batches in groups.items():
        reference = groups.get((REFERENCE, arch))
        if reference is None:
            continue
        final = gather(reference, "activation").isel(step=-1).mean("sample")
        scale = final.where(final > 0)
        relative = gather(batches, "activation").mean("sample") / scale  # aligned by unit
        values = relative.transpose("step", "unit").values
        values = values[:, np.isfinite(values).any(0)]
        if not values.size:
            continue
        fractions = np.linspace(0, 1, len(values)) if len(values) > 1 else np.ones(1)
        evaluations = float(gather(batches, "evaluations").mean()) * np.arange(1, len(values) + 1) / len(values)
        quartiles = np.nanquantile(values, list(_QUARTILES.values()), axis=1).T
        head = (method, arch, "normalized_activation")
        rows += [
            (*head, name, float(fraction), float(shown), float(value))
            for fraction, shown, row in zip(fractions, evaluations, quartiles, strict=True)
            for name, value in zip(_QUARTILES, row, strict=True)
        ]
    columns = ["method", "arch", "measure", "statistic", "step_fraction", "evaluations", "value"]
    return pd.DataFrame(rows, columns=columns)


def _draw_costs(axes: Axes, costs: pd.DataFrame, measure: str, archs: Sequence[str], colours: dict[str, str]) -> None:
    step, many = 0.8 / len(colours), len(archs) * len(colours) > _MANY
    for group, arch in enumerate(archs):
        for rank, method in enumerate(colours):
            here = costs[(costs["arch"] == arch) & (costs["method"] == method)]
            x = group + (rank - (len(colours) - 1) / 2) * step
            images = here.loc[here["statistic"] == "image", "value"].to_numpy()
            style.strip(axes, x, images[images > 0], colours[method], (measure, arch, method), 0.5 * step)
            _draw_cost(axes, x, here.set_index("statistic")["value"], step, colours[method], many)
    style.plain_log(axes.yaxis)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.5, high * (12 if many else 2.2))  # room for the numbers
    spare = 0.4 if len(archs) == 1 else 0.0
    axes.set_xlim(-0.6 - spare, len(archs) - 0.4 + spare)
    turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if many else {}
    axes.set_xticks(range(len(archs)), [style.label(a) if many else style.wrapped(a) for a in archs], **turned)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(_COSTS[measure])


def _draw_cost(axes: Axes, x: float, statistics: pd.Series, step: float, colour: str, upright: bool) -> None:
    """The mean, its number, and how many times less than gradient ascent it is."""
    mean = statistics.get("mean", np.nan)
    if not mean > 0:
        return
    axes.plot([x - 0.35 * step, x + 0.35 * step], [mean, mean], color=style.BLACK, linewidth=1.4)
    times = [_times(statistics["ratio"])] if "ratio" in statistics else []
    text = (", " if upright else "\n").join([_plain(mean), *times])
    look = {"ha": "center", "va": "bottom", "fontsize": style.SMALL, "color": colour, "rotation": 90 * upright}
    axes.annotate(text, (x, np.max(statistics["image"])), xytext=(0, 4), textcoords="offset points", **look)


def _plain(cost: float) -> str:
    """Three digits that matter, never as a power of ten."""
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.3g}"


def _times(ratio: float) -> str:
    """How gradient ascent's cost over a method's reads beside that method."""
    if 0.95 < ratio < 1.05:
        return "the same"
    return f"{ratio:.1f}× less" if ratio >= 1 else f"{1 / ratio:.1f}× more"


def _draw_trajectories(axes: Axes, trajectories: pd.DataFrame, arch: str, colours: dict[str, str]) -> None:
    for method, rows in trajectories.groupby("method", sort=False):
        wide = rows.pivot(index="evaluations", columns="statistic", values="value")
        marker = "o" if len(wide) == 1 else None
        axes.fill_between(wide.index, wide["q25"], wide["q75"], color=colours[method], alpha=0.2, linewidth=0)
        axes.plot(wide.index, wide["median"], color=colours[method], marker=marker, markersize=3)
    axes.axhline(1, color=style.LIGHT, linewidth=0.6, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("images seen")
    axes.set_title(style.label(arch), loc="left")


def _draw_judges(figure: SubFigure, judged: pd.DataFrame, archs: Sequence[str], colours: dict[str, str]) -> None:
    """A panel for each architecture: judges side by side at the evaluations of each method, filled where they took no
    part in making the images."""
    axes = figure.subplots(1, len(archs), squeeze=False, sharey=True)[0]
    judges = list(dict.fromkeys(judged["judge"]))
    looks = {judge: style.judge_look(judge) for judge in judges}
    for panel, arch in zip(axes, archs, strict=True):
        for (method, judge), rows in judged[judged["arch"] == arch].groupby(["method", "judge"], sort=False):
            wide = rows.set_index("statistic")["value"]
            x = rows["evaluations"].iloc[0] * 1.07 ** (judges.index(judge) - (len(judges) - 1) / 2)
            error = [[wide["median"] - wide["q25"]], [wide["q75"] - wide["median"]]]
            face = "white" if rows["shares_weights"].iloc[0] else colours[method]
            look = {**looks[judge], "color": colours[method], "markerfacecolor": face}
            panel.errorbar(x, wide["median"], error, elinewidth=0.8, **look)
        panel.axhline(1, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
        style.plain_log(panel.xaxis)
        low, high = panel.get_xlim()
        panel.set_xlim(low / 1.6, high * 1.6)  # methods of one cost keep their judges close together
        panel.set_xlabel(_COSTS["evaluations"])
        panel.set_title(style.label(arch), loc="left")
    axes[0].set_ylabel("judge's activation\n(1: natural image it likes best)")
    style.panel_letter(axes[0], "d", -28)
    marks = [
        axes[0].plot([], [], linestyle="", label=style.label(judge), **{**look, "color": style.BLACK})[0]
        for judge, look in looks.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
