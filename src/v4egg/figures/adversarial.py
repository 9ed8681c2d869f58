"""Adversarial images of compact models against random changes of the same size, and their maximizing images, by judge.

One block per set of models: above, natural images of two units, their adversarial images and the change; below, how far
they move each judge, the same over epsilon, the share that carries over, and the judges' response to maximizing images.
"""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from v4egg.evaluation.tables.adversarial import BOTH
from v4egg.evaluation.tables.adversarial import table as table
from v4egg.figures import style
from v4egg.figures.tiles import draw_image
from v4egg.io import stores

_RAISE, _LOWER = style.colours(["gradient_ascent", "energy_guided"]).values()
_DIRECTIONS = {"raise": _RAISE, "lower": _LOWER}
_DONE = {"raise": "raised", "lower": "lowered"}
_KINDS = {"white": (style.GREY, "white noise"), "spectrum": (style.LIGHT, "same spectrum")}
_HEIGHT = 3.6  # inches per block
_AMPLIFIED = 0.4  # largest change as it is shown, in [0, 1] units


@style.styled
def draw(numbers: pd.DataFrame, adversarial: Sequence[str | Path]) -> Figure:
    """Draw the figure.

    Args:
        numbers: The table of :func:`table`.
        adversarial: The ``adversarial`` stores that the table is of, for their images.
    """
    figure = style.new_figure(_HEIGHT * len(adversarial))
    letters = iter(string.ascii_lowercase)
    blocks = figure.subfigures(len(adversarial), 1, squeeze=False)[:, 0]
    for block, path in zip(blocks, adversarial, strict=True):
        data = stores.load(path, "adversarial")
        model_source, session = data.attrs["model_source"], data.attrs["session"]
        rows = numbers[(numbers["model_source"] == model_source) & (numbers["session"] == session)]
        above, below = block.subfigures(2, 1, height_ratios=(1.0, 1.6))
        _draw_examples(above, rows, data, next(letters))
        panels = below.subplots(1, 4, width_ratios=(1.35, 0.8, 1.0, 1.15))
        _draw_movements(panels[0], rows, session)
        _draw_epsilons(panels[1], rows)
        _draw_carried(panels[2], rows, session)
        _draw_maximizing(panels[3], rows)
        for axes in panels:
            style.panel_letter(axes, next(letters), -26, 14)
    return figure


def _judges(rows: pd.DataFrame) -> dict[str, bool]:
    """Judge -> whether it shares weights with the models, in the order of the table: the models themselves first."""
    judges = rows.dropna(subset="shares_weights").drop_duplicates("judge")
    return dict(zip(judges["judge"], judges["shares_weights"].astype(bool), strict=True))


def _draw_examples(block: SubFigure, rows: pd.DataFrame, data: xr.Dataset, letter: str) -> None:
    """Natural image, raised, lowered, and the raising change made visible, with the models' responses."""
    examples = rows[rows["measure"] == "example_response"]
    units = list(dict.fromkeys(examples["unit"]))
    last = data.isel(epsilon=-1, sample=0)
    axes = iter(block.subplots(1, 4 * len(units), squeeze=False)[0])
    for unit in units:
        response = examples[examples["unit"] == unit].set_index("direction")["value"]
        images = last.sel(unit=unit)
        raised, lowered = (images["image"].sel(direction=name).values for name in _DIRECTIONS)
        natural = images["natural_image"].values / 255
        change = raised - natural
        amplified = 0.5 + change * _AMPLIFIED / max(float(np.abs(change).max()), 1e-9)
        titles = [f"natural {response['']:.1f}", *(f"{_DONE[d]} {response[d]:.1f}" for d in _DIRECTIONS), "change"]
        for image, title in zip((natural, raised, lowered, amplified), titles, strict=True):
            panel = next(axes)
            draw_image(panel, image)
            panel.set_aspect("equal")
            panel.set_title(title.replace("-", "\u2212"), fontsize=style.SMALL)
    head = f"{data.attrs['session']}, {style.label(data.attrs['model_source'])}"
    epsilon = examples["epsilon"].iloc[0]
    block.suptitle(f"{head}: {' and '.join(units)}, epsilon {epsilon:g}", x=0.03, ha="left")
    block.text(0.005, 0.98, letter, fontsize=style.BASE + 2, fontweight="bold", va="top")


def _draw_movements(axes: Axes, rows: pd.DataFrame, session: str) -> None:
    """Each judge at the largest epsilon: both directions, and the random changes of both kinds."""
    last = rows[rows["epsilon"] == rows["epsilon"].max()]
    each = last[last["measure"] == "movement"].set_index(["judge", "direction", "kind"])["value"].sort_index()
    over = last[last["unit"] == ""].set_index(["measure", "judge", "direction", "kind"])["value"]
    columns = [((direction, "adversarial"), colour) for direction, colour in _DIRECTIONS.items()]
    columns += [(("", kind), colour) for kind, (colour, _) in _KINDS.items()]
    judges = _judges(rows)
    for x, judge in enumerate(judges):
        for n, (place, colour) in enumerate(columns):
            if (judge, *place) not in each.index:
                continue
            at = x + (n - 1.5) * 0.2
            values = each.loc[[(judge, *place)]].to_numpy()
            style.strip(axes, at, values, colour, ("adversarial", session, judge, n), 0.12)
            style.middle(axes, at, 0.09, *(over.get((f"{s}_movement", judge, *place), np.nan) for s in style.INTERVAL))
        style.number_above(axes, x, over.get(("share_above_random", judge, BOTH, "adversarial"), np.nan))
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    _name_judges(axes, judges)
    n_units = last.loc[last["measure"] == "n_movement", "value"].max()
    axes.set(ylabel=f"movement (sd of natural),\n{n_units:.0f} units")
    axes.set_title("share above random:", loc="left", pad=12, fontsize=style.SMALL)
    handles = [axes.plot([], [], "o", color=c, markersize=3, label=d)[0] for d, c in _DIRECTIONS.items()]
    handles += [axes.plot([], [], "o", color=c, markersize=3, label=label)[0] for c, label in _KINDS.values()]
    axes.legend(handles=handles, fontsize=4.5, borderpad=0.1, handletextpad=0.1)


def _draw_epsilons(axes: Axes, part: pd.DataFrame) -> None:
    """The models themselves, over epsilon."""
    movements = part[(part["judge"] == next(iter(_judges(part)))) & (part["measure"] == "median_movement")]
    lines = [(direction, "adversarial", colour, direction) for direction, colour in _DIRECTIONS.items()]
    lines += [("", kind, colour, label) for kind, (colour, label) in _KINDS.items()]
    for direction, kind, colour, label in lines:
        rows = movements[(movements["direction"] == direction) & (movements["kind"] == kind)]
        axes.plot(rows["epsilon"], rows["value"], "o-", color=colour, markersize=3, label=label)
    epsilons = sorted(movements["epsilon"].unique())
    axes.set(xlabel="epsilon (RMS)", ylabel="median movement of the\nmodels (sd of natural)")
    axes.set_xlim(0, epsilons[-1] * 1.1)
    axes.set_xticks([0, *epsilons], [f"{epsilon:g}" for epsilon in (0, *epsilons)])
    axes.set_ylim(bottom=0)


def _draw_carried(axes: Axes, rows: pd.DataFrame, session: str) -> None:
    last = rows[rows["epsilon"] == rows["epsilon"].max()]
    each = last[last["measure"] == "carried_over"]
    over = last[last["unit"] == ""].set_index(["measure", "judge", "direction"])["value"]
    judges = dict(list(_judges(rows).items())[1:])
    for x, judge in enumerate(judges):
        for n, (direction, colour) in enumerate(_DIRECTIONS.items()):
            values = each.loc[(each["judge"] == judge) & (each["direction"] == direction), "value"].to_numpy()
            at = x + (n - 0.5) * 0.4
            style.strip(axes, at, values, colour, ("carried", session, judge, direction), 0.25)
            numbers = [over.get((f"{s}_carried_over", judge, direction), np.nan) for s in style.INTERVAL]
            style.middle(axes, at, 0.18, *numbers)
            style.number_above(axes, at, numbers[0], colour, rotation=60)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    style.limit(axes, style.usual_limits(each.loc[each["judge"].isin(list(judges)), "value"].to_numpy()))
    axes.set(ylabel="share carried over")
    _name_judges(axes, judges)


def _draw_maximizing(axes: Axes, rows: pd.DataFrame) -> None:
    each = rows[rows["measure"] == "maximizing"]
    over = rows[rows["unit"] == ""].set_index(["measure", "judge"])["value"]
    judges = {judge: shared for judge, shared in _judges(rows).items() if judge in set(each["judge"])}
    for x, judge in enumerate(judges):
        values = each.loc[each["judge"] == judge, "value"].to_numpy()
        style.strip(axes, x, values, style.GREY, ("maximizing", judge), 0.4)
        numbers = [over.get((f"{s}_maximizing", judge), np.nan) for s in style.INTERVAL]
        style.middle(axes, x, 0.3, *numbers)
        style.number_above(axes, x, numbers[0])
    axes.axhline(1, color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
    axes.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    style.limit(axes, style.usual_limits(each["value"].to_numpy()))
    axes.set(ylabel="maximizing images\n(1: model-selected natural)")
    _name_judges(axes, judges)


def _name_judges(axes: Axes, judges: dict[str, bool]) -> None:
    names = [style.label(judge) + ("*" if shared else "") for judge, shared in judges.items()]
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, max(len(names), 1) - 0.4)
