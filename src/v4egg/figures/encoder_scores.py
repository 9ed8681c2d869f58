"""How well the encoders predict held-out responses, unit by unit, beside yardsticks and the ceiling of the data.

Per session with a test split: a strip of each model's correlation to average (Pearson, repeat mean with prediction),
with the mean over units and its 95% bootstrap interval, and one encoder against the others unit by unit.
"""

import itertools
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.figures import style
from v4egg.summary import scores_on_test, sessions_with_test

FAVOURED = "attention"  # the readout whose advantage the figure asks about: the ordinate of the scatter
_GROUPS = ("ensemble", "generators", "validators")  # every other member is one network
_ROW_HEIGHT = 2.3  # inches
_SLOTS = 4  # a panel of fewer strips leaves room at its sides rather than draw them wide apart


@dataclass(frozen=True)
class _Strip:
    """One column of the strip panel; ``values`` (unit,) and the means of single members, all correlations."""

    model: str
    metric: str
    values: np.ndarray
    members: tuple[float, ...] = ()


def table(scores: str | Path) -> pd.DataFrame:
    """Per-unit test correlations, and the means and intervals over units, one number a row.

    Columns: session, model, metric, member, statistic (``unit``, ``mean``, ``ci_low``, ``ci_high``, ``n_units``),
    unit, value. Only finite values; ``correlation_to_average`` of every member, the rest of the ensemble.

    Raises:
        V4eggError: no session of the store has a test split.
    """
    scored = _read(scores)
    rows = [row for session in sessions_with_test(scored) for row in _session_rows(_units_of(scored, session), session)]
    return pd.DataFrame(rows, columns=["session", "model", "metric", "member", "statistic", "unit", "value"])


@style.styled
def draw(scores: str | Path) -> Figure:
    """The figure: one row of panels per session with a test split. Raises as :func:`table` does."""
    scored = _read(scores)
    sessions = sessions_with_test(scored)
    figure = style.new_figure(_ROW_HEIGHT * len(sessions) + 0.35)
    colours = style.colours([str(arch) for arch in scored["arch"].values])
    strips = {session: _strips(_units_of(scored, session)) for session in sessions}
    paired = {session: _pairs(columns, colours) for session, columns in strips.items()}
    n_columns = 2 if any(paired.values()) else 1
    rows = figure.subplots(len(sessions), n_columns, squeeze=False, width_ratios=(2.4, 1)[:n_columns])
    letters = itertools.cycle(string.ascii_lowercase)
    for panels, session in zip(rows, sessions, strict=True):
        _draw_strips(panels[0], strips[session], colours, session)
        style.panel_letter(panels[0], next(letters), -30)
        if paired[session]:
            _draw_pairs(panels[1], *paired[session], colours)
            style.panel_letter(panels[1], next(letters), -30)
        elif n_columns == 2:
            panels[1].set_axis_off()
    _explain(figure, rows[0, 0])
    return figure


def _read(path: str | Path) -> xr.Dataset:
    scored = scores_on_test(path)
    if not sessions_with_test(scored):
        raise V4eggError(
            f"{path}: no session has test scores; give at least one session a test split (split: repeated)"
        )
    return scored


def _units_of(scored: xr.Dataset, session: str) -> xr.Dataset:
    return scored.isel(unit=np.flatnonzero(scored["session"].values == session))


def _strips(here: xr.Dataset) -> list[_Strip]:
    """The columns of one session in reading order: encoders, yardsticks, the ceiling, then encoders to the truth."""
    archs = [str(arch) for arch in here["arch"].values]
    correlation = here["correlation_to_average"]
    columns = [
        _Strip(
            arch, "correlation_to_average", correlation.sel(arch=arch, member="ensemble").values, _members(here, arch)
        )
        for arch in archs
    ]
    if "yardstick_correlation" in here:
        values = here["yardstick_correlation"]
        names = [str(name) for name in here["yardstick"].values]
        columns += [_Strip(name, "correlation_to_average", values.sel(yardstick=name).values) for name in names]
    if "ceiling" in here:
        columns.append(_Strip("ceiling", "ceiling", here["ceiling"].values))
    if "correlation_to_truth" in here:
        truth = here["correlation_to_truth"].sel(member="ensemble")
        columns += [_Strip(arch, "correlation_to_truth", truth.sel(arch=arch).values) for arch in archs]
    return [column for column in columns if np.isfinite(column.values).any()]


def _single_members(here: xr.Dataset) -> list[str]:
    return [str(member) for member in here["member"].values if member not in _GROUPS]


def _members(here: xr.Dataset, arch: str) -> tuple[float, ...]:
    means = here["correlation_to_average"].sel(arch=arch, member=_single_members(here)).mean("unit").values
    return tuple(float(mean) for mean in means[np.isfinite(means)])


def _draw_strips(axes: Axes, columns: list[_Strip], colours: dict[str, str], session: str) -> None:
    for position, column in enumerate(columns):
        colour = colours.get(column.model, style.GREY)
        style.strip(axes, position, column.values, colour, (session, column.model, column.metric), 0.36)
        _draw_mean(axes, position, column, session)
        _draw_members(axes, position, column)
    axes.set_xticks(range(len(columns)), [_tick(column) for column in columns])
    axes.tick_params(axis="x", length=0)
    spare = max(0, _SLOTS - len(columns)) / 2
    axes.set_xlim(-0.6 - spare, len(columns) - 0.4 + spare)
    axes.set_ylabel("correlation on test images")
    values = np.concatenate([column.values for column in columns])
    n_units = columns[0].values.size
    axes.set_title(f"{session} ({n_units} unit{'s' if n_units != 1 else ''})", loc="left", pad=13)
    axes.set_ylim(min(0.0, float(np.nanmin(values)) - 0.05), 1.02)
    _divide(axes, columns)


def _draw_mean(axes: Axes, x: float, column: _Strip, session: str) -> None:
    mean, low, high = style.bootstrap_mean(column.values, (session, column.model, column.metric))
    x = x + 0.27
    axes.plot([x, x], [low, high], color=style.BLACK, linewidth=1.2, solid_capstyle="butt")
    axes.plot([x], [mean], "o", color=style.BLACK, markersize=3.2)
    style.number_above(axes, x - 0.27, mean)


def _draw_members(axes: Axes, x: float, column: _Strip) -> None:
    """The mean over units of every single network, left of its ensemble's units."""
    if len(column.members) > 1:
        positions = np.full(len(column.members), x - 0.3)
        axes.scatter(
            positions, column.members, s=9, facecolors="white", edgecolors=style.BLACK, linewidths=0.6, zorder=3
        )


def _explain(figure: Figure, axes: Axes) -> None:
    """What the marks mean, once for the whole figure."""
    unit = axes.plot([], [], "o", color=style.GREY, markersize=2.6, label="unit, under the ensemble")[0]
    mean = axes.plot([], [], "o-", color=style.BLACK, markersize=3.2, label="mean over units, 95% interval")[0]
    member = axes.plot([], [], "o", markersize=3, label="mean over units, single networks")[0]
    member.set(markerfacecolor="white", markeredgecolor=style.BLACK, markeredgewidth=0.6)
    figure.legend(handles=[unit, mean, member], loc="outside lower left", ncols=3)


def _divide(axes: Axes, columns: list[_Strip]) -> None:
    """A hairline where the measure changes from the noisy repeat mean to the noise-free response."""
    truth = [position for position, column in enumerate(columns) if column.metric == "correlation_to_truth"]
    if truth and truth[0] > 0:
        axes.axvline(truth[0] - 0.5, color=style.LIGHT, linewidth=0.6)


def _tick(column: _Strip) -> str:
    if column.metric == "correlation_to_truth":
        return f"{style.label(column.model)}\nto truth"
    return style.wrapped(column.model)


def _pairs(columns: list[_Strip], colours: dict[str, str]) -> tuple[_Strip, list[_Strip]] | None:
    """The favoured encoder and those to compare it with: the other encoders, else whatever else was scored."""
    favoured = FAVOURED if FAVOURED in colours else next(iter(colours))
    scored = [column for column in columns if column.metric == "correlation_to_average"]
    own = [column for column in scored if column.model == favoured]
    others = [column for column in scored if column.model != favoured]
    others = [column for column in others if column.model in colours] or others
    return (own[0], others) if own and others else None


def _draw_pairs(axes: Axes, own: _Strip, others: list[_Strip], colours: dict[str, str]) -> None:
    for other in others:
        won, n = int(np.sum(own.values > other.values)), int(np.isfinite(own.values - other.values).sum())
        text = f"{won} of {n} above" + (f" {style.label(other.model)}" if len(others) > 1 else "")
        colour = style.BLACK if len(others) == 1 else colours.get(other.model, style.GREY)
        axes.scatter(other.values, own.values, color=colour, label=text, **style.POINTS)
    _square(axes, np.concatenate([own.values, *(other.values for other in others)]))
    axes.legend(loc="lower right", handletextpad=0.1, borderpad=0)
    names = style.label(others[0].model) if len(others) == 1 else "other models"
    axes.set_xlabel(f"{names} (correlation)")
    axes.set_ylabel(f"{style.label(own.model)} (correlation)")


def _square(axes: Axes, values: np.ndarray) -> None:
    low, high = min(0.0, float(np.nanmin(values)) - 0.05), max(1.0, float(np.nanmax(values)))
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_box_aspect(1)
    style.identity_line(axes)


def _session_rows(here: xr.Dataset, session: str) -> list[tuple]:
    rows = []
    for column in _strips(here):
        member = "ensemble" if column.model in here["arch"].values else ""
        head = (session, column.model, column.metric, member)
        mean, low, high = style.bootstrap_mean(column.values, head[:3])
        rows += _unit_rows(head, column.values, here["unit"].values)
        rows += _statistic_rows(head, mean=mean, ci_low=low, ci_high=high, n_units=np.isfinite(column.values).sum())
    correlation = here["correlation_to_average"]
    for arch in correlation["arch"].values:
        for member in (name for name in correlation["member"].values if name != "ensemble"):
            head = (session, str(arch), "correlation_to_average", str(member))
            values = correlation.sel(arch=arch, member=member)
            rows += _unit_rows(head, values.values, here["unit"].values)
            rows += _statistic_rows(head, mean=values.mean())
    return rows


def _unit_rows(head: tuple, values: np.ndarray, units: np.ndarray) -> list[tuple]:
    return [(*head, "unit", str(units[i]), float(values[i])) for i in np.flatnonzero(np.isfinite(values))]


def _statistic_rows(head: tuple, **statistics: float) -> list[tuple]:
    return [(*head, name, "", float(value)) for name, value in statistics.items() if np.isfinite(value)]
