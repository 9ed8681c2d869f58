"""How well the encoders predict held-out responses, unit by unit, beside other models, baselines and the ceiling.

Per session with a test split: a row for each model's correlation to average (Pearson, repeat mean with prediction) with
the mean over units and its 95% bootstrap interval; the best encoder against reference models, unit by unit; and, where
the architectures are two cores by two readouts, the four means as a table.
"""

import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.tables.encoder_scores import CEILING, COMBINED, ENCODER, METRIC, TRUTH
from v4egg.evaluation.tables.encoder_scores import table as table
from v4egg.figures import style
from v4egg.seeding import numpy_generator

_SIDE = 2.35  # inches: the least height of a session's panels, so that the scatter is not small
_ROW_HEIGHT, _FRAME = 0.21, 0.75  # inches: a row of the first panel, and what surrounds the rows
_SPREAD = 0.42  # of a row, that points scatter over
_BLOCKS = {ENCODER: 0, COMBINED: 0, "reference_model": 1, "baseline": 2, CEILING: 3, TRUTH: 4}
_NAMES = {"mixed": "mixed ensemble", "ln": "linear-nonlinear", "shuffled": "shuffled (chance)"}


@dataclass(frozen=True)
class _Row:
    """One model: its correlation with each unit, the statistics over units, and the means of its single networks."""

    model: str
    metric: str
    kind: str
    units: pd.Series
    over: pd.Series
    members: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """The name that stands beside the row."""
        if self.kind == TRUTH:
            return f"{style.label(self.model)}, to truth"
        return _NAMES.get(self.model, style.label(self.model))


_Pair = tuple[_Row, list[tuple[_Row, pd.Series]]]  # the best encoder; others, with the statistics against them


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw one row of panels per session with a test split, from the table of :func:`table`."""
    sessions = {str(session): part for session, part in numbers.groupby("session", sort=False)}
    colours = style.colours(list(dict.fromkeys(numbers.loc[numbers["kind"] == ENCODER, "model"])))
    rows = {session: _rows(part) for session, part in sessions.items()}
    pairs = {session: _pair(part, rows[session], colours) for session, part in sessions.items()}
    square = _square(numbers)
    heights = [max(_SIDE, _ROW_HEIGHT * len(models) + _FRAME) for models in rows.values()]
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
            _draw_square(next(spare), rows[session], square)
            style.panel_letter(panels[-1], next(letters), -26)
    _explain(figure, grid[0, 0])
    return figure


def _rows(subset: pd.DataFrame) -> list[_Row]:
    """The models of one session in the order of the table."""
    rows = []
    models = subset[subset["kind"].isin(list(_BLOCKS)) & (subset["against"] == "")]
    for (model, metric, kind), part in style.groups(models, "model", "metric", "kind"):
        units = part[part["statistic"] == "unit"].set_index("unit")["value"]
        over = part[part["statistic"] != "unit"].set_index("statistic")["value"]
        single = subset[(subset["model"] == model) & (subset["kind"] == "member") & (subset["statistic"] == "mean")]
        rows.append(_Row(model, metric, kind, units, over, tuple(single["value"]) if kind == ENCODER else ()))
    return rows


def _draw_rows(axes: Axes, rows: list[_Row], colours: dict[str, str], session: str) -> None:
    for y, row in enumerate(rows):
        generator = numpy_generator("figures", "rows", session, row.model, row.metric)
        spread = generator.uniform(-_SPREAD / 2, _SPREAD / 2, len(row.units))
        axes.scatter(row.units, y + 0.1 + spread, color=colours.get(row.model, style.GREY), **style.POINTS)
        _draw_mean(axes, y, row)
    for y in (y for y in range(1, len(rows)) if _BLOCKS[rows[y].kind] != _BLOCKS[rows[y - 1].kind]):
        axes.axhline(y - 0.5, color=style.LIGHT, linewidth=0.6)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    lowest = min(float(row.units.min()) for row in rows)
    axes.set_xlim(min(0.0, lowest - 0.03), 1.02)
    axes.set_xlabel("correlation on test images")
    n_units = max(int(row.over["n_units"]) for row in rows)
    axes.set_title(f"{session} ({n_units} unit{'s' if n_units != 1 else ''})", loc="left")


def _draw_mean(axes: Axes, y: int, row: _Row) -> None:
    """Mean and interval above the units' points, the mean as a number at the right, single networks as circles."""
    mean = row.over["mean"]
    if "ci_low" in row.over:
        interval = [row.over["ci_low"], row.over["ci_high"]]
        axes.plot(interval, [y - 0.28] * 2, color=style.BLACK, linewidth=1.2, solid_capstyle="butt")
    if len(row.members) > 1:
        marks: style.Look = {"facecolors": "white", "edgecolors": style.BLACK, "linewidths": 0.6}
        axes.scatter(row.members, [y - 0.28] * len(row.members), s=7, zorder=3, **marks)
    axes.plot([mean], [y - 0.28], "o", color=style.BLACK, markersize=3, zorder=4)
    place: style.Look = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": style.SMALL}
    axes.text(1.02, y, style.number(mean), **place)


def _explain(figure: Figure, axes: Axes) -> None:
    """What the marks mean, once for the whole figure."""
    unit = axes.plot([], [], "o", color=style.GREY, markersize=2.6, label="unit (encoders: under the ensemble)")[0]
    mean = axes.plot([], [], "o-", color=style.BLACK, markersize=3.2, label="mean over units, 95% interval")[0]
    member = axes.plot([], [], "o", markersize=3, label="mean over units, single networks")[0]
    member.set(markerfacecolor="white", markeredgecolor=style.BLACK, markeredgewidth=0.6)
    figure.legend(handles=[unit, mean, member], loc="outside lower left", ncols=3)


def _pair(part: pd.DataFrame, rows: list[_Row], colours: dict[str, str]) -> _Pair | None:
    """The best encoder and what to compare it with: a reference model, else the encoders, else the first baseline."""
    scored = [row for row in rows if row.metric == METRIC]
    best = next((row for row in scored if "best_on_validation" in row.over), None)
    if best is None:
        return None
    choices = [
        [row for row in scored if row.kind == "reference_model"][:1],
        [row for row in scored if row.model in colours and row.model != best.model],
        [row for row in scored if row.kind == "baseline"][:1],
    ]
    others = next((choice for choice in choices if choice), [])
    return (best, [(other, _compared(part, best.model, other.model)) for other in others]) if others else None


def _compared(part: pd.DataFrame, model: str, other: str) -> pd.Series:
    """The statistics of a model against another one, whichever of the two the table names first."""
    for a, b, won in ((model, other, "n_won"), (other, model, "n_lost")):
        rows = part[(part["model"] == a) & (part["against"] == b)]
        if not rows.empty:
            statistics = rows.set_index("statistic")["value"]
            return pd.Series({"n_above": statistics[won], "n": statistics["n"], "q": statistics.get("p_adjusted")})
    return pd.Series({"n_above": 0, "n": 0, "q": np.nan})


def _draw_pair(axes: Axes, pair: _Pair | None, colours: dict[str, str], letters: Iterator[str]) -> None:
    if pair is None:
        axes.set_axis_off()
        return
    best, others = pair
    correlations = [best.units]
    for other, statistics in others:
        both = pd.concat([other.units, best.units], axis=1, join="inner").to_numpy()
        name = f"{other.label}: " if len(others) > 1 else ""
        text = f"{name}{statistics['n_above']:.0f} of {statistics['n']:.0f} above"
        text = ", ".join(filter(None, [text, style.q_value(statistics["q"])]))
        colour = colours.get((best if len(others) == 1 else other).model, style.GREY)
        axes.scatter(both[:, 0], both[:, 1], color=colour, label=text, **style.POINTS)
        correlations.append(other.units)
    values = pd.concat(correlations)
    low, high = min(0.0, float(values.min()) - 0.05), max(1.0, float(values.max()))
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_box_aspect(1)
    style.identity_line(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), handletextpad=0.1, borderpad=0.2)
    axes.set_xlabel(f"{others[0][0].label if len(others) == 1 else 'other encoders'} (correlation)")
    axes.set_ylabel(best.label)
    style.panel_letter(axes, next(letters), -26)


def _square(numbers: pd.DataFrame) -> pd.DataFrame | None:
    """The architectures by core (rows) and readout (columns), where they are two of each in every combination."""
    parts = numbers.loc[numbers["kind"] == ENCODER, ["model", "core", "readout"]].drop_duplicates()
    if len(parts) != 4 or (parts[["core", "readout"]] == "").any(axis=None):
        return None
    if parts.duplicated(["core", "readout"]).any() or parts["core"].nunique() != 2 or parts["readout"].nunique() != 2:
        return None
    return parts.pivot(index="core", columns="readout", values="model")


def _draw_square(axes: Axes, rows: list[_Row], square: pd.DataFrame) -> None:
    """Mean and interval of each core with each readout; darker is better."""
    over = {row.model: row.over for row in rows if row.kind == ENCODER}
    means = np.full(square.shape, np.nan)
    for place in np.ndindex(square.shape):
        statistics = over.get(str(square.iloc[place]), pd.Series(dtype=float))
        mean, low, high = (float(statistics.get(name, np.nan)) for name in ("mean", "ci_low", "ci_high"))
        means[place] = mean
        text = f"{style.number(mean, 3)}\n{style.number(low)}\u2013{style.number(high)}"
        axes.text(place[1], place[0], text, ha="center", va="center", fontsize=style.SMALL)
    span = max(0.02, float(np.nanmax(means) - np.nanmin(means)))  # differences of rounding stay pale
    axes.imshow(means, cmap="Blues", vmin=np.nanmin(means), vmax=np.nanmin(means) + 2.5 * span)
    axes.set_xticks(range(2), [style.wrapped(name) for name in square.columns])
    axes.set_yticks(range(2), [style.wrapped(name) for name in square.index], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="readout", ylabel="core")
    axes.set_title("mean correlation", loc="center")
