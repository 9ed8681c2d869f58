"""Rows of images with panels below them, placed by hand: constrained layout leaves gaps between square images.

Images are shown as they are, 0 black and 1 white, without any stretch of contrast.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.figures import style

SIDE = (0.4, 0.8)  # smallest and largest side of an image, inches
CHARACTER = 0.06  # inches that a letter of a row's label takes, on the safe side
GAP, NOTE, HEADER = 0.04, 0.15, 0.36  # inches
LEGEND = 0.25  # inches below the panels
_MARGINS = {"left": 0.7, "right": 0.12, "top": 0.42, "bottom": 0.42}  # inches around the panels of a row
_BETWEEN = 0.72  # inches between two panels


@dataclass(frozen=True)
class Row:
    """Images (channel, y, x), None where there is none, with a label at the left and a note below each."""

    label: str
    images: Sequence[np.ndarray | None]
    notes: Sequence[str] = ()
    colour: str = style.BLACK
    breaks: Sequence[int] = field(default=())  # columns with a wider gap before them


def sheet(rows: Sequence[Row], titles: Sequence[str] = (), panels: float = 0.0) -> Figure:
    """A figure of the house's width with the rows above, as its part a, and ``panels`` inches left free below them.

    ``titles`` stand over the columns of the first row.
    """
    left = 0.15 + CHARACTER * max(len(line) for row in rows for line in row.label.split("\n"))
    columns = max(len(row.images) for row in rows)
    wider = max(len(row.breaks) for row in rows) * 3 * GAP
    side = float(np.clip((style.WIDTH - left - wider) / columns - GAP, *SIDE))
    heights = [side + (NOTE if any(row.notes) else GAP) for row in rows]
    header = HEADER if any(titles) else 0.1
    figure = Figure(figsize=(style.WIDTH, header + sum(heights) + panels))
    top = figure.get_size_inches()[1] - header
    for row, height in zip(rows, heights, strict=True):
        _draw_row(figure, row, (left, top - side, side), titles if row is rows[0] else ())
        top -= height
    letter: style.Look = {"fontsize": style.BASE + 2, "fontweight": "bold", "va": "top"}
    figure.text(0.05 / style.WIDTH, 1 - 0.05 / figure.get_size_inches()[1], "a", **letter)
    return figure


def panels(figure: Figure, height: float, widths: Sequence[float], rise: float = 0.0) -> list[Axes]:
    """Axes in a row of that ``height`` in inches, ``rise`` above the lower edge, with widths in these proportions."""
    whole_width, whole_height = figure.get_size_inches()
    room = whole_width - _MARGINS["left"] - _MARGINS["right"] - _BETWEEN * (len(widths) - 1)
    tall = height - _MARGINS["top"] - _MARGINS["bottom"]
    axes, x = [], _MARGINS["left"]
    for width in widths:
        wide = room * width / sum(widths)
        place = (x / whole_width, (rise + _MARGINS["bottom"]) / whole_height, wide / whole_width, tall / whole_height)
        axes.append(figure.add_axes(place))
        x += wide + _BETWEEN
    return axes


def draw_image(axes: Axes, image: np.ndarray | None, note: str = "") -> None:
    """One image (channel, y, x) as it is, its note below; the word none where there is none."""
    axes.set_axis_off()
    if image is None:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=style.GREY)
        return
    pixels = np.clip(np.moveaxis(image, 0, -1), 0, 1)
    grey = pixels.shape[-1] == 1
    axes.imshow(pixels[..., 0] if grey else pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    if note:
        axes.text(0.5, -0.02, note, transform=axes.transAxes, ha="center", va="top", fontsize=style.SMALL)


def over_two_lines(unit: str) -> str:
    """Session above unit: a whole unit id is wider than its column."""
    return unit[::-1].replace("-", "\n", 1)[::-1]


def _draw_row(figure: Figure, row: Row, place: tuple[float, float, float], titles: Sequence[str]) -> None:
    """``place`` is where the first image stands, in inches: left, bottom and side."""
    (start, bottom, side), (width, height) = place, figure.get_size_inches()
    middle = (bottom + side / 2) / height
    figure.text((start - 0.08) / width, middle, row.label, ha="right", va="center", color=row.colour)
    left = start
    for column, image in enumerate(row.images):
        left += 3 * GAP if column in row.breaks else 0
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        draw_image(axes, image, row.notes[column] if row.notes else "")
        if column < len(titles):
            title: style.Look = {"ha": "center", "va": "bottom", "fontsize": style.SMALL}
            axes.text(0.5, 1.06, titles[column], transform=axes.transAxes, **title)
        left += side + GAP
