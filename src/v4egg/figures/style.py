"""What all figures share: colours, names, marks on panels, and the one way to write a figure.

Colours are those of Okabe and Ito ("Color universal design", 2008), which readers with any common colour blindness
tell apart. A method, and an architecture, has the same colour in every figure, and no method shares one with an
architecture.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from v4egg.encoders.registry import BASELINES, CORES, READOUTS
from v4egg.evaluation.external_judges import EXTERNAL_JUDGES
from v4egg.io.files import replacing
from v4egg.registry import Entry, Registry
from v4egg.seeding import numpy_generator
from v4egg.synthesis.methods import METHODS
from v4egg.xdream.optimizers import OPTIMIZERS

WIDTH = 7.2  # inches: a figure over both columns of a journal page (183 mm)
DPI = 300
BASE, SMALL = 7.0, 6.0  # font sizes in points at print size
INTERVAL = ("median", "low", "high")  # what tables call a median over units and its 95% bootstrap interval
Look = dict[str, Any]  # keyword arguments of matplotlib
POINTS: Look = {"s": 8, "alpha": 0.55, "linewidths": 0}

BLACK, GREY, LIGHT = "#000000", "#6E6E6E", "#BDBDBD"
_CONTROLS: Registry = {  # what images of methods are compared with
    "gradient_descent": Entry("v4egg.synthesis.reconstruction", label="gradient descent", colour="#D55E00"),
    "model_selected_natural": Entry(
        "v4egg.evaluation.transfer", label="model-selected natural image", colour="#009E73"
    ),
    "noise": Entry("v4egg.evaluation.transfer", label="noise", colour=GREY),
}
# an architecture is usually named as the part that makes it what it is
_NAMED: Registry = {**CORES, **READOUTS, **BASELINES, **OPTIMIZERS, **METHODS, **EXTERNAL_JUDGES, **_CONTROLS}
_JUDGES = {"generators": (GREY, "o"), "validators": ("#56B4E9", "s"), "across": ("#CC79A7", "D")}
_UNKNOWN = Entry("")
_SPARE = ("#56B4E9", "#E69F00", "#F0E442", BLACK)

_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same figure on every machine
    "font.size": BASE,
    "axes.titlesize": BASE,
    "axes.labelsize": BASE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "lines.linewidth": 1.0,
    "svg.hashsalt": "v4egg",  # ids in the svg follow from the data, not from chance
    "svg.fonttype": "path",
}


def styled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run ``function`` under the style of this package, and leave matplotlib's settings as they were."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # a user's own matplotlibrc must not change the bytes
            matplotlib.rcParams.update(cast(Any, _RC))
            return function(*args, **kwargs)

    return wrapper


@styled
def write(figure: Figure, table: pd.DataFrame, folder: str | Path, name: str) -> list[Path]:
    """Write ``<name>.svg``, ``<name>.png`` and ``<name>.csv`` into ``folder``; equal data gives equal bytes.

    Returns the three paths. Each file is written beside its place and renamed, so none is ever half there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _settle(figure)
    svg = {"Date": None, "Creator": "v4egg"}
    writers = {
        "svg": lambda path: figure.savefig(path, format="svg", dpi=DPI, metadata=svg),
        "png": lambda path: figure.savefig(path, format="png", dpi=DPI, metadata={"Software": "v4egg"}),
        "csv": lambda path: table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n"),
    }
    return [_replace(folder / f"{name}.{suffix}", writer) for suffix, writer in writers.items()]


def _settle(figure: Figure) -> None:
    """Do the layout once and round it: the last bits of constrained layout differ from run to run, and show in ids."""
    if figure.get_layout_engine() is None:
        return
    figure.set_dpi(DPI)  # letters are as wide as they will be drawn
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in _parts(figure):
        box = part.bbox_relative
        box.p0, box.p1 = np.round(box.p0, 6), np.round(box.p1, 6)
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 6) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _parts(figure: Figure | SubFigure) -> Iterator[SubFigure]:
    """All subfigures, at any depth."""
    for part in figure.subfigs:
        yield part
        yield from _parts(part)


def _replace(path: Path, writer: Callable[[Path], Any]) -> Path:
    with replacing(path) as temporary:
        writer(temporary)
    return path


def groups(table: pd.DataFrame, *columns: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """The parts of a table by the entries of some columns, in the order of the table."""
    parts = table.groupby(list(columns), sort=False)
    return [(tuple(map(str, key if isinstance(key, tuple) else (key,))), part) for key, part in parts]


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure of ``width`` by ``height`` inches in constrained layout, outside pyplot's memory."""
    return Figure(figsize=(width, height), layout="constrained")


def label(name: str) -> str:
    """A name of the configuration as a reader would write it."""
    entry = _NAMED.get(name)
    return entry.label if entry and entry.label else str(name).replace("_", " ")


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each method or architecture: its own if it has one, else spare ones in the order given."""
    preferences = {name: entry.colour for name, entry in _NAMED.items() if entry.colour}
    palette: dict[str, str] = {}
    for name in names:
        free = [colour for colour in _SPARE if colour not in palette.values()]
        preferred = preferences.get(name)
        if preferred is None or preferred in palette.values():
            preferred = free[0] if free else GREY
        palette[name] = preferred
    return palette


def judge_look(judge: str) -> dict[str, Any]:
    """Colour and marker of a judge's points, the same in every figure; black triangles for external judges."""
    external = EXTERNAL_JUDGES.get(judge, _UNKNOWN)
    colour, marker = _JUDGES.get(judge, (external.colour or BLACK, external.marker or "^"))
    return {"color": colour, "marker": marker, "markersize": 3.2}


def judge_handles(axes: Axes, shares_weights: Mapping[str, bool]) -> list[Line2D]:
    """An entry of the legend for each judge, which says where it shares weights with the generators."""
    handles = []
    for judge, shared in shares_weights.items():
        text = label(judge) + (" (shares weights)" if shared else "")
        handles += axes.plot([], [], label=text, linewidth=0.9, **judge_look(judge))
    return handles


def wrapped(name: str) -> str:
    """The label of a name, broken at its first space if it is too long for one tick of a strip panel."""
    text = label(name)
    return text.replace(" ", "\n", 1) if len(text) > 11 else text


def judge_tick(judge: str, shares_weights: bool) -> str:
    """A judge's name below a strip panel, which says if it shares weights with the generators."""
    return wrapped(judge) + ("\n(shares\nweights)" if shares_weights else "")


def legend_columns(handles: Sequence[Any], room: int = 105) -> int:
    """How many entries of a legend fit side by side below a figure, where a line has ``room`` for letters."""
    longest = max((len(handle.get_label()) for handle in handles), default=0) + 6
    return max(1, min(len(handles), room // longest))


def number(value: float, digits: int = 2) -> str:
    """A number for a label, with a true minus sign and no negative zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


def q_value(q: float) -> str:
    """A p-value corrected for the number of comparisons, as it is written on a panel; empty for NaN."""
    if not np.isfinite(q):
        return ""
    return "q < 0.0001" if q < 1e-4 else f"q = {q:.2g}"


def panel_letter(axes: Axes, letter: str, offset: float = -26, rise: float = 6) -> None:
    """A bold letter ``offset`` points from the left and ``rise`` points above the upper left corner of the axes."""
    axes.annotate(
        letter,
        (0, 1),
        xytext=(offset, rise),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=BASE + 2,
        fontweight="bold",
        va="bottom",
    )


def strip(axes: Axes, x: float, values: np.ndarray, colour: str, key: object, width: float = 0.3) -> None:
    """One point per finite value, spread sideways by a generator of its own (``key``) within ``width``."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    spread = numpy_generator("figures", "strip", key).uniform(-width / 2, width / 2, values.size)
    axes.scatter(x + spread, values, color=colour, **POINTS)


def middle(axes: Axes, x: float, reach: float, value: float, low: float = np.nan, high: float = np.nan) -> None:
    """A bar at ``value``, ``reach`` to either side of ``x``, with its interval as a thin upright line."""
    axes.plot([x - reach, x + reach], [value, value], color=BLACK, linewidth=1.4, zorder=3)
    axes.plot([x, x], [low, high], color=BLACK, linewidth=0.7, zorder=3)


def above(axes: Axes) -> Look:
    """How small text stands above a panel: x in data, y as a fraction of the panel."""
    return {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": SMALL}


def number_above(axes: Axes, x: float, value: float, colour: str = BLACK, rotation: float = 0) -> None:
    """The number ``value`` above the panel at ``x``, clear of all points; nothing for NaN."""
    if np.isfinite(value):
        place: Look = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "rotation": rotation}
        axes.text(x, 1.01, number(value), color=colour, fontsize=SMALL, **place)


def usual_limits(values: np.ndarray, quantiles: tuple[float, float] = (0.02, 0.98)) -> tuple[float, float]:
    """The range of all values but outliers: half the span of ``quantiles`` beyond them; never less than 0 to 1."""
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, quantiles)
    margin = (high - low) / 2
    usual = values[(values >= low - margin) & (values <= high + margin)]
    return min(float(usual.min()), 0.0), max(float(usual.max()), 1.0)


def limit(axes: Axes, limits: tuple[float, float]) -> None:
    """Heights of a panel: these limits, and a margin for :func:`mark_beyond`."""
    margin = 0.11 * (limits[1] - limits[0])
    axes.set_ylim(limits[0] - margin, limits[1] + margin)


def mark_beyond(axes: Axes, x: float, values: np.ndarray, limits: tuple[float, float], colour: str) -> None:
    """A triangle with the number of units that lie beyond the limit, in the margin outside it."""
    margin = 0.06 * (limits[1] - limits[0])
    sides = (
        (limits[0] - margin, "v", np.sum(values < limits[0])),
        (limits[1] + margin, "^", np.sum(values > limits[1])),
    )
    for y, marker, count in sides:
        if count:
            axes.plot([x - 0.03], [y], marker, color=colour, markersize=3.5, markeredgewidth=0)
            axes.text(x + 0.03, y, f"{count}", fontsize=5, va="center", color=colour)


def plain_log(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
    set_scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def identity_line(axes: Axes) -> None:
    """The line x = y behind the points."""
    axes.axline((0, 0), slope=1, color=LIGHT, linewidth=0.7, zorder=0)
