"""How well the encoders predict held-out responses, unit by unit, beside yardsticks, baselines and the ceiling.

Per session with a test split: a row for each model's correlation to average (Pearson, repeat mean with prediction) with
the mean over units and its 95% bootstrap interval; the best encoder against a yardstick, unit by unit; and, where the
architectures are two cores by two readouts, the four means as a table.
"""

import itertools
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.evaluation.score_statistics import (
    GROUPS,
    compare,
    mean_interval,
    scores_on_test,
    sessions_with_test,
    units_of,
)
from v4egg.figures import style
from v4egg.io import stores
from v4egg.seeding import numpy_generator
from v4egg.stats.inference import paired_wilcoxon

_SIDE = 2.35  # inches: the least height of a session's panels, so that the scatter is not small
_ROW_HEIGHT, _FRAME = 0.21, 0.75  # inches: a row of the first panel, and what surrounds the rows
_SPREAD = 0.42  # of a row, that points scatter over


@dataclass(frozen=True)
class _Row:
    """One model: correlations ``values`` (unit,), the means of its single networks, and which block it stands in."""

    model: str
    metric: str
    values: np.ndarray
    block: str
    members: tuple[float, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.metric


def table(scores: str | Path) -> pd.DataFrame:
    """Per-unit test correlations, means and intervals over units, and paired comparisons, one number a row.

    Columns: session, model, metric, member, statistic, unit, against, value. Statistics are ``unit``, ``mean``,
    ``ci_low``, ``ci_high``, ``n_units``, and against another model those of
    :func:`v4egg.evaluation.score_statistics.compare`. Only finite values; ``correlation_to_average`` of every member,
    the rest of the ensemble.

    Raises:
        V4eggError: no session of the store has a test split.
    """
    scored = _read(scores)
    rows = [row for session in sessions_with_test(scored) for row in _session_rows(units_of(scored, session), session)]
    columns = ["session", "model", "metric", "member", "statistic", "unit", "against", "value"]
    return pd.DataFrame(rows + _comparison_rows(scored), columns=columns)


@style.styled
def draw(scores: str | Path) -> Figure:
    """The figure: one row of panels per session with a test split. Raises as :func:`table` does."""
    scored = _read(scores)
    sessions = sessions_with_test(scored)
    colours = style.colours([str(arch) for arch in scored["arch"].values])
    best = _best(scores, sessions)
    rows = {session: _rows(units_of(scored, session)) for session in sessions}
    pairs = {session: _pair(rows[session], best[session], colours) for session in sessions}
    square = _square(scored)
    heights = [max(_SIDE, _ROW_HEIGHT * len(found) + _FRAME) for found in rows.values()]
    widths = [2.1, *([1] if any(pairs.values()) else []), *([1.15] if square is not None else [])]
    figure = style.new_figure(sum(heights) + 0.3)
    grid = figure.subplots(len(sessions), len(widths), squeeze=False, width_ratios=widths, height_ratios=heights)
    letters = itertools.cycle(string.ascii_lowercase)
    for panels, session in zip(grid, sessions, strict=True):
        spare = iter(panels)
        _draw_rows(next(spare), rows[session], colours, session)
        style.panel_letter(panels[0], next(letters), -26)
        if any(pairs.values()):
            _draw_pair(next(spare), pairs[session], colours, letters)
        if square is not None:
            _draw_square(next(spare), units_of(scored, session), square, session)
            style.panel_letter(panels[-1], next(letters), -26)
    _explain(figure, grid[0, 0])
    return figure


def _read(path: str | Path) -> xr.Dataset:
    scored = scores_on_test(path)
    if not sessions_with_test(scored):
        raise V4eggError(
            f"{path}: no session has test scores; give at least one session a test split (split: repeated)"
        )
    return scored


def _best(path: str | Path, sessions: Sequence[str]) -> dict[str, str]:
    """Each session's architecture that predicts its validation images best: test images choose nothing."""
    scores = stores.load(path, "scores").sel(split="validation").load()
    found = {}
    for session in sessions:
        own = [row for row in _rows(units_of(scores, session)) if row.block == "own"]
        means = [np.nanmean(row.values) for row in own]
        found[session] = own[int(np.argmax(means))].model if own else ""
    return found


def _rows(here: xr.Dataset) -> list[_Row]:
    """The models of one session in reading order: encoders, yardsticks, baselines, ceiling, encoders to the truth."""
    archs = [str(arch) for arch in here["arch"].values]
    correlation = here["correlation_to_average"].sel(member="ensemble")
    metric = "correlation_to_average"
    found = [_Row(arch, metric, correlation.sel(arch=arch).values, "own", _members(here, arch)) for arch in archs]
    for kind, block in (("combined", "own"), ("reference_model", "reference_model"), ("baseline", "baseline")):
        if f"{kind}_correlation" in here:
            values = here[f"{kind}_correlation"]
            found += [_Row(str(name), metric, values.sel({kind: name}).values, block) for name in here[kind].values]
    if "ceiling" in here:
        found.append(_Row("ceiling", "ceiling", here["ceiling"].values, "ceiling"))
    if "correlation_to_truth" in here:
        truth = here["correlation_to_truth"].sel(member="ensemble")
        found += [_Row(arch, "correlation_to_truth", truth.sel(arch=arch).values, "truth") for arch in archs]
    return [row for row in found if np.isfinite(row.values).any()]


def _members(here: xr.Dataset, arch: str) -> tuple[float, ...]:
    single = [str(member) for member in here["member"].values if member not in GROUPS]
    means = here["correlation_to_average"].sel(arch=arch, member=single).mean("unit").values
    return tuple(float(mean) for mean in means[np.isfinite(means)])


def _draw_rows(axes: Axes, rows: list[_Row], colours: dict[str, str], session: str) -> None:
    for y, row in enumerate(rows):
        values = row.values[np.isfinite(row.values)]
        spread = numpy_generator("figures", "rows", session, *row.key).uniform(-_SPREAD / 2, _SPREAD / 2, values.size)
        axes.scatter(values, y + 0.1 + spread, color=colours.get(row.model, style.GREY), **style.POINTS)
        _draw_mean(axes, y, row, session)
    for y in (y for y in range(1, len(rows)) if rows[y].block != rows[y - 1].block):
        axes.axhline(y - 0.5, color=style.LIGHT, linewidth=0.6)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    values = np.concatenate([row.values for row in rows])
    axes.set_xlim(min(0.0, float(np.nanmin(values)) - 0.03), 1.02)
    axes.set_xlabel("correlation on test images")
    n_units = rows[0].values.size
    axes.set_title(f"{session} ({n_units} unit{'s' if n_units != 1 else ''})", loc="left")


def _draw_mean(axes: Axes, y: int, row: _Row, session: str) -> None:
    """Mean and interval above the units' points, the mean as a number at the right, single networks as circles."""
    mean, low, high = mean_interval(row.values, session, *row.key)
    axes.plot([low, high], [y - 0.28] * 2, color=style.BLACK, linewidth=1.2, solid_capstyle="butt")
    if len(row.members) > 1:
        marks = {"facecolors": "white", "edgecolors": style.BLACK, "linewidths": 0.6}
        axes.scatter(row.members, [y - 0.28] * len(row.members), s=7, zorder=3, **marks)
    axes.plot([mean], [y - 0.28], "o", color=style.BLACK, markersize=3, zorder=4)
    place = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": style.SMALL}
    axes.text(1.02, y, style.number(mean), **place)


def _label(row: _Row) -> str:
    if row.metric == "correlation_to_truth":
        return f"{style.label(row.model)}, to truth"
    names = {"mixed": "mixed ensemble", "ln": "linear-nonlinear", "shuffled": "shuffled (chance)"}
    return names.get(row.model, style.label(row.model))


def _explain(figure: Figure, axes: Axes) -> None:
    """What the marks mean, once for the whole figure."""
    unit = axes.plot([], [], "o", color=style.GREY, markersize=2.6, label="unit (encoders: under the ensemble)")[0]
    mean = axes.plot([], [], "o-", color=style.BLACK, markersize=3.2, label="mean over units, 95% interval")[0]
    member = axes.plot([], [], "o", markersize=3, label="mean over units, single networks")[0]
    member.set(markerfacecolor="white", markeredgecolor=style.BLACK, markeredgewidth=0.6)
    figure.legend(handles=[unit, mean, member], loc="outside lower left", ncols=3)


def _pair(rows: list[_Row], best: str, colours: dict[str, str]) -> tuple[_Row, list[_Row]] | None:
    """The best encoder and those to compare it with: a yardstick, else the architectures, else the first baseline."""
    scored = [row for row in rows if row.metric == "correlation_to_average"]
    own = [row for row in scored if row.model == best]
    choices = [
        [row for row in scored if row.block == "reference_model"][:1],
        [row for row in scored if row.model in colours and row.model != best],
        [row for row in scored if row.block == "baseline"][:1],
    ]
    others = next((found for found in choices if found), [])
    return (own[0], others) if own and others else None


def _draw_pair(
    axes: Axes, pair: tuple[_Row, list[_Row]] | None, colours: dict[str, str], letters: Iterator[str]
) -> None:
    if pair is None:
        axes.set_axis_off()
        return
    own, others = pair
    for other in others:
        won, n = int(np.sum(own.values > other.values)), int(np.isfinite(own.values - other.values).sum())
        text = f"{won} of {n} above, {_p_value(own, other)}"
        if len(others) > 1:
            text = f"{_label(other)}: {won} of {n}, {_p_value(own, other)}"
        colour = colours.get((own if len(others) == 1 else other).model, style.GREY)
        axes.scatter(other.values, own.values, color=colour, label=text, **style.POINTS)
    values = np.concatenate([own.values, *(other.values for other in others)])
    low, high = min(0.0, float(np.nanmin(values)) - 0.05), max(1.0, float(np.nanmax(values)))
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_box_aspect(1)
    style.identity_line(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), handletextpad=0.1, borderpad=0.2)
    axes.set_xlabel(f"{_label(others[0]) if len(others) == 1 else 'other encoders'} (correlation)")
    axes.set_ylabel(_label(own))
    style.panel_letter(axes, next(letters), -26)


def _p_value(own: _Row, other: _Row) -> str:
    p_value = paired_wilcoxon(own.values, other.values).p_value
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def _square(scored: xr.Dataset) -> pd.DataFrame | None:
    """The architectures by core (rows) and readout (columns), where they are two of each in every combination."""
    if not {"core", "readout"} <= set(scored.coords) or scored.sizes["arch"] != 4:
        return None
    parts = pd.DataFrame({name: scored[name].values.astype(str) for name in ("arch", "core", "readout")})
    if parts.duplicated(["core", "readout"]).any() or parts["core"].nunique() != 2 or parts["readout"].nunique() != 2:
        return None
    return parts.pivot(index="core", columns="readout", values="arch")


def _draw_square(axes: Axes, here: xr.Dataset, square: pd.DataFrame, session: str) -> None:
    """Mean and interval of each core with each readout; darker is better."""
    correlation = here["correlation_to_average"].sel(member="ensemble")
    means = np.full(square.shape, np.nan)
    for place in np.ndindex(square.shape):
        arch = square.iloc[place]
        values = correlation.sel(arch=arch).values
        mean, low, high = mean_interval(values, session, arch, "correlation_to_average")
        means[place] = mean
        text = f"{style.number(mean, 3)}\n{style.number(low)}\u2013{style.number(high)}"
        axes.text(place[1], place[0], text, ha="center", va="center", fontsize=style.SMALL)
    room = max(0.02, float(np.nanmax(means) - np.nanmin(means)))  # differences of rounding stay pale
    axes.imshow(means, cmap="Blues", vmin=np.nanmin(means), vmax=np.nanmin(means) + 2.5 * room)
    axes.set_xticks(range(2), [style.wrapped(name) for name in square.columns])
    axes.set_yticks(range(2), [style.wrapped(name) for name in square.index], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="readout", ylabel="core")
    axes.set_title("mean correlation", loc="center")


def _session_rows(here: xr.Dataset, session: str) -> list[tuple]:
    found = []
    for row in _rows(here):
        member = "ensemble" if row.model in here["arch"].values else ""
        head = (session, row.model, row.metric, member)
        mean, low, high = mean_interval(row.values, session, *row.key)
        found += _unit_rows(head, row.values, here["unit"].values)
        found += _statistic_rows(head, mean=mean, ci_low=low, ci_high=high, n_units=np.isfinite(row.values).sum())
    correlation = here["correlation_to_average"]
    for arch in correlation["arch"].values:
        for member in (name for name in correlation["member"].values if name != "ensemble"):
            head = (session, str(arch), "correlation_to_average", str(member))
            values = correlation.sel(arch=arch, member=member)
            found += _unit_rows(head, values.values, here["unit"].values)
            found += _statistic_rows(head, mean=values.mean())
    return found


def _comparison_rows(scored: xr.Dataset) -> list[tuple]:
    """Every comparison as rows of the table."""
    archs, found = set(scored["arch"].values), []
    for row in compare(scored).to_dict("records"):
        member = "ensemble" if row["a"] in archs else ""
        head = (row["session"], row["a"], "correlation_to_average", member)
        numbers = {name: row[name] for name in ("difference", "low", "high", "p_value", "effect", "n")}
        found += _statistic_rows(head, row["b"], **numbers)
    return found


def _unit_rows(head: tuple, values: np.ndarray, units: np.ndarray) -> list[tuple]:
    return [(*head, "unit", str(units[i]), "", float(values[i])) for i in np.flatnonzero(np.isfinite(values))]


def _statistic_rows(head: tuple, against: str = "", **statistics: float) -> list[tuple]:
    return [(*head, name, "", against, float(value)) for name, value in statistics.items() if np.isfinite(value)]
