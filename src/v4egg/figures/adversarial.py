"""Adversarial images of compact models against random changes of the same size, and their maximizing images, by judge.

A block for each set of models: above, one unit's natural image, its adversarial images and their change; below, how far
they move each judge, the same over epsilon, the share that carries over, and what judges say of maximizing images.
"""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from v4egg.compact.maximizing import METHOD
from v4egg.errors import V4eggError
from v4egg.evaluation.adversarial import carried_over, exceeds_random, movements
from v4egg.figures import style
from v4egg.figures.tiles import draw_image
from v4egg.io import stores
from v4egg.stats.inference import bootstrap_interval, paired_wilcoxon

_RAISE, _LOWER = style.colours(["gradient_ascent", "energy_guided"]).values()
_DIRECTIONS = {"raise": _RAISE, "lower": _LOWER}
_DONE = {"raise": "raised", "lower": "lowered"}
_KINDS = {"white": (style.GREY, "white noise"), "spectrum": (style.LIGHT, "same spectrum")}
_HEIGHT = 3.5  # inches a block
_UNITS, _AMPLIFIED = 2, 0.4  # units shown; largest change as it is shown, in [0, 1] units


def table(adversarial: Sequence[str | Path], transfer: Sequence[str | Path]) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: models, session, judge, shares_weights, measure, direction, kind, epsilon, unit, value. Measures of a unit:
    ``movement`` (sd of the judge's natural responses, in the direction asked for; kind ``white`` or ``spectrum``: of
    random changes, of either sign), ``carried_over`` (over the movement of the models themselves) and
    ``maximizing`` (relative activation: 1 is the best natural image). Over units: ``median_...``, ``low_...`` and
    ``high_...`` (95% bootstrap interval), and of ``movement`` ``share_above_random`` and ``share_above_all_random``, of
    units that the adversarial images move more than the mean and than the largest random change do, of the worse
    kind, and ``p_value`` (Wilcoxon, against the mean).
    """
    pairs = zip(_read(adversarial, "adversarial"), _read(transfer, "transfer"), strict=True)
    return pd.concat([_table(data, maximizing) for data, maximizing in pairs], ignore_index=True)


@style.styled
def draw(adversarial: Sequence[str | Path], transfer: Sequence[str | Path]) -> Figure:
    """The figure."""
    found = list(zip(_read(adversarial, "adversarial"), _read(transfer, "transfer"), strict=True))
    figure = style.new_figure(_HEIGHT * len(found))
    letters = iter(string.ascii_lowercase)
    for block, (data, maximizing) in zip(figure.subfigures(len(found), 1, squeeze=False)[:, 0], found, strict=True):
        above, below = block.subfigures(2, 1, height_ratios=(1.0, 1.6))
        _draw_examples(above, data, next(letters))
        panels = below.subplots(1, 4, width_ratios=(1.35, 0.8, 1.0, 1.15))
        moved = movements(data)
        _draw_movements(panels[0], moved, data)
        _draw_epsilons(panels[1], moved, data)
        _draw_carried(panels[2], moved, data)
        _draw_maximizing(panels[3], maximizing)
        for axes in panels:
            style.panel_letter(axes, next(letters), -26, 14)
    return figure


def _read(paths: Sequence[str | Path], kind: str) -> list[xr.Dataset]:
    if not paths:
        raise V4eggError("adversarial: no session with targets has these compact models; see adversarial.models")
    return [stores.load(path, kind).load() for path in paths]


def _draw_examples(block: SubFigure, data: xr.Dataset, letter: str) -> None:
    """For the units that are moved most: natural image, raised, lowered, the raising change made visible."""
    moved = movements(data)["adversarial"].isel(judge=0, epsilon=-1).sum("direction").values
    units = np.argsort(-np.nan_to_num(moved, nan=-np.inf))[:_UNITS]
    last = data.isel(epsilon=-1, sample=0)
    axes = iter(block.subplots(1, 4 * len(units), squeeze=False)[0])
    for unit in units:
        here = last.isel(unit=unit)
        raised, lowered = (here["image"].sel(direction=d).values for d in _DIRECTIONS)
        natural = here["natural_image"].values / 255
        change = raised - natural
        shown = 0.5 + change * _AMPLIFIED / max(float(np.abs(change).max()), 1e-9)
        said = {d: float(here["adversarial"].sel(direction=d).isel(judge=0)) for d in _DIRECTIONS}
        titles = [
            f"{float(here['natural'].isel(judge=0)):.1f}",
            *(f"{_DONE[d]} {v:.1f}" for d, v in said.items()),
            "change",
        ]
        for image, title in zip((natural, raised, lowered, shown), titles, strict=True):
            panel = next(axes)
            draw_image(panel, image)
            panel.set_aspect("equal")
            panel.set_title(title.replace("-", "\u2212"), fontsize=style.SMALL)
    names = " and ".join(str(data["unit"].values[unit]) for unit in units)
    head = f"{data.attrs['session']}, {style.label(data.attrs['models'])}"
    block.suptitle(f"{head}: {names}, epsilon {data['epsilon'].values[-1]:g}", x=0.03, ha="left")
    block.text(0.005, 0.98, letter, fontsize=style.BASE + 2, fontweight="bold", va="top")


def _draw_movements(axes: Axes, moved: xr.Dataset, data: xr.Dataset) -> None:
    """Each judge at the largest epsilon: both directions, and the random changes of both kinds."""
    last = moved.isel(epsilon=-1)
    exceeded = exceeds_random(last)["mean"].stack(both=("unit", "direction"))
    columns = [("adversarial", d, colour) for d, colour in _DIRECTIONS.items()]
    columns += [("random", kind, colour) for kind, (colour, _) in _KINDS.items()]
    for x, judge in enumerate(data["judge"].values):
        for n, (name, which, colour) in enumerate(columns):
            values = last[name].sel({"judge": judge, "direction" if name == "adversarial" else "kind": which}).values
            place = x + (n - 1.5) * 0.2
            style.strip(axes, place, values, colour, ("adversarial", data.attrs["session"], str(judge), n), 0.12)
            middle = _interval(values, data, str(judge), which)[0]
            axes.plot([place - 0.09, place + 0.09], [middle, middle], color=style.BLACK, linewidth=1.2)
        share = float(exceeded.sel(judge=judge).mean())
        style.number_above(axes, x, share)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    _judge_ticks(axes, data)
    axes.set(ylabel="movement (sd of natural)")
    axes.set_title("share above random:", loc="left", pad=12, fontsize=style.SMALL)
    handles = [axes.plot([], [], "o", color=c, markersize=3, label=d)[0] for d, c in _DIRECTIONS.items()]
    handles += [axes.plot([], [], "o", color=c, markersize=3, label=label)[0] for c, label in _KINDS.values()]
    axes.legend(handles=handles, fontsize=4.5, borderpad=0.1, handletextpad=0.1)


def _draw_epsilons(axes: Axes, moved: xr.Dataset, data: xr.Dataset) -> None:
    """The models themselves, over epsilon."""
    own, epsilons = moved.isel(judge=0), data["epsilon"].values
    for direction, colour in _DIRECTIONS.items():
        values = own["adversarial"].sel(direction=direction).median("unit").values
        axes.plot(epsilons, values, "o-", color=colour, markersize=3, label=direction)
    for kind, (colour, label) in _KINDS.items():
        values = own["random"].sel(kind=kind).median("unit").values
        axes.plot(epsilons, values, "o-", color=colour, markersize=3, label=label)
    axes.set(xlabel="epsilon (RMS)", ylabel="median movement of the\nmodels (sd of natural)")
    axes.set_xlim(0, epsilons[-1] * 1.1)
    axes.set_xticks([0, *epsilons], [f"{epsilon:g}" for epsilon in (0, *epsilons)])
    axes.set_ylim(bottom=0)


def _draw_carried(axes: Axes, moved: xr.Dataset, data: xr.Dataset) -> None:
    share = carried_over(moved).isel(epsilon=-1)
    judges = data["judge"].values[1:]
    for x, judge in enumerate(judges):
        for n, (direction, colour) in enumerate(_DIRECTIONS.items()):
            values = share.sel(judge=judge, direction=direction).values
            place = x + (n - 0.5) * 0.4
            style.strip(axes, place, values, colour, ("carried", data.attrs["session"], str(judge), direction), 0.25)
            middle = _interval(values, data, "carried", str(judge), direction)[0]
            axes.plot([place - 0.18, place + 0.18], [middle, middle], color=style.BLACK, linewidth=1.2)
            style.number_above(axes, place, middle, colour, rotation=60)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    style.limit(axes, style.usual_limits(share.values[..., 1:]))
    axes.set(ylabel="share carried over", xlim=(-0.6, max(len(judges), 1) - 0.4))
    _name_judges(axes, [style.label(str(judge)) for judge in judges])


def _draw_maximizing(axes: Axes, transfer: xr.Dataset) -> None:
    relative = _maximizing(transfer)
    for x, judge in enumerate(relative["judge"].values):
        values = relative.sel(judge=judge).values
        style.strip(axes, x, values, style.GREY, ("maximizing", str(judge)), 0.4)
        middle = float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan
        axes.plot([x - 0.3, x + 0.3], [middle, middle], color=style.BLACK, linewidth=1.2)
        style.number_above(axes, x, middle)
    axes.axhline(1, color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    style.limit(axes, style.usual_limits(relative.values))
    axes.set(ylabel="maximizing images\n(1: best natural image)")
    _judge_ticks(axes, transfer.isel(arch=0))


def _maximizing(transfer: xr.Dataset) -> xr.DataArray:
    """Relative activation (unit, judge) of a unit's maximizing images, mean over samples."""
    relative = transfer["normalized_activation"].isel(arch=0, drop=True).sel({"method": METHOD}, drop=True)
    return relative.mean("sample").transpose("unit", "judge")


def _judge_ticks(axes: Axes, data: xr.Dataset) -> None:
    stars = ["*" if shares_weights else "" for shares_weights in data["shares_weights"].values]
    names = [style.label(str(judge)) + star for judge, star in zip(data["judge"].values, stars, strict=True)]
    _name_judges(axes, names)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _name_judges(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)


def _interval(values: np.ndarray, data: xr.Dataset, *key: object) -> tuple[float, float, float]:
    values = values[np.isfinite(values)]
    median = float(np.median(values)) if values.size else np.nan
    return median, *bootstrap_interval(values, np.median, ("adversarial", data.attrs["session"], *key))


def _table(data: xr.Dataset, transfer: xr.Dataset) -> pd.DataFrame:
    moved = movements(data)
    frames = [
        moved["adversarial"].to_series().rename("value").reset_index().assign(measure="movement", kind="adversarial"),
        moved["random"].to_series().rename("value").reset_index().assign(measure="movement"),
        carried_over(moved)
        .to_series()
        .rename("value")
        .reset_index()
        .assign(measure="carried_over", kind="adversarial"),
        _maximizing(transfer).to_series().rename("value").reset_index().assign(measure="maximizing"),
    ]
    whole = pd.concat(frames).dropna(subset="value").fillna({"kind": "", "direction": ""})
    rows = []
    head = ["measure", "judge", "direction", "kind", "epsilon"]
    for names, part in whole.groupby(head, dropna=False, sort=False):
        numbers = _interval(part["value"].to_numpy(), data, *names)
        labels = [f"{name}_{names[0]}" for name in ("median", "low", "high")]
        rows += [(label, *names[1:], value) for label, value in zip(labels, numbers, strict=True)]
    exceeded, chance = exceeds_random(moved), moved["random"].max("kind")
    for judge, direction, epsilon in moved["adversarial"].stack(cell=("judge", "direction", "epsilon"))["cell"].values:
        at = {"judge": judge, "epsilon": epsilon}
        made = moved["adversarial"].sel(direction=direction, **at).values
        numbers = {
            "share_above_random": float(exceeded["mean"].sel(direction=direction, **at).mean()),
            "share_above_all_random": float(exceeded["all"].sel(direction=direction, **at).mean()),
            "p_value": paired_wilcoxon(made, chance.sel(**at).values).p_value,
        }
        rows += [(name, judge, direction, "adversarial", epsilon, value) for name, value in numbers.items()]
    over = pd.DataFrame(rows, columns=[*head, "value"]).assign(unit="").dropna(subset="value")
    whole = pd.concat([whole, over], ignore_index=True)
    shares_weights = data["shares_weights"].to_series()
    whole = whole.assign(
        models=data.attrs["models"],
        session=data.attrs["session"],
        shares_weights=whole["judge"].map(shares_weights).values,
    )
    return whole[
        ["models", "session", "judge", "shares_weights", "measure", "direction", "kind", "epsilon", "unit", "value"]
    ]
