"""The images: the model-selected natural one and every method's most exciting image, a column for each unit.

Images are shown as they are, 0 black and 1 white, without any stretch of contrast. Each unit's image is the one that
the generators rate highest; the number below it is its z-score under the most independent judge.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from v4egg.evaluation.best_images import image_of, mei_stores
from v4egg.evaluation.tables.mei_gallery import table as table
from v4egg.evaluation.transfer import MODEL_SELECTED_NATURAL as NATURAL
from v4egg.figures import style, tiles
from v4egg.io import stores

_CHARACTER = 0.06  # inches that a letter of a row's label takes, on the safe side
_TILE = (0.4, 0.9)  # smallest and largest side of an image, inches
_GAP, _NUMBER, _HEADER, _FOOTER = 0.04, 0.15, 0.36, 0.22  # inches


@style.styled
def draw(numbers: pd.DataFrame, transfer: str | Path, meis: Sequence[str | Path]) -> Figure:
    """Draw the gallery: rows are the natural image and each method by architecture, columns are units.

    Args:
        numbers: The table of :func:`table`.
        transfer: The ``transfer`` store, for its natural images.
        meis: The ``mei`` stores, for their images.
    """
    units = list(dict.fromkeys(numbers["unit"]))
    rows = style.groups(numbers, "method", "arch")
    labels = [f"{_method(method)}\n({style.label(arch)})" for (method, arch), _ in rows]
    left = 0.15 + _CHARACTER * max(len(line) for text in labels for line in text.split("\n"))
    tile = float(np.clip((style.WIDTH - left) / len(units) - _GAP, *_TILE))
    width = max(left + len(units) * (tile + _GAP), 3.0)
    height = _HEADER + len(rows) * (tile + _NUMBER) + _FOOTER
    figure = Figure(figsize=(width, height))  # placed by hand: constrained layout leaves gaps between square images
    images = _images(numbers, transfer, meis)
    for place, (text, ((method, arch), part)) in enumerate(zip(labels, rows, strict=True)):
        bottom = height - _HEADER - (place + 1) * (tile + _NUMBER) + _NUMBER
        look: style.Look = {"ha": "right", "va": "center", "color": style.colours([method])[method]}
        figure.text((left - 0.08) / width, (bottom + tile / 2) / height, text, **look)
        zscore = part.set_index("unit")["zscore"]
        for column, unit in enumerate(units):
            start = left + column * (tile + _GAP)
            axes = figure.add_axes((start / width, bottom / height, tile / width, tile / height))
            if place == 0:
                title: style.Look = {"ha": "center", "va": "bottom", "fontsize": style.SMALL}
                axes.text(0.5, 1.06, tiles.over_two_lines(unit), transform=axes.transAxes, **title)
            value = zscore.get(unit, np.nan)
            note = style.number(value, 1) if np.isfinite(value) else ""
            tiles.draw_image(axes, images.get((method, arch, unit)), note)
    judges = " or ".join(style.label(judge) for judge in dict.fromkeys(numbers["judge"]))
    note = f"below each image: z-score under the {judges} judge"
    figure.text(0.05 / width, 0.06 / height, note, fontsize=style.SMALL, color=style.GREY)
    return figure


def _method(method: str) -> str:
    """The label of a method, over two lines if it is long."""
    return style.label(method).replace(" natural", "\nnatural")


def _images(
    numbers: pd.DataFrame, transfer: str | Path, meis: Sequence[str | Path]
) -> dict[tuple[str, str, str], np.ndarray | None]:
    """The images (channel, y, x) of the table's rows."""
    natural, batches = stores.load(transfer, "transfer")["natural_image"].load(), mei_stores(meis)
    images: dict[tuple[str, str, str], np.ndarray | None] = {}
    for row in numbers.to_dict("records"):
        method, arch, unit = row["method"], row["arch"], row["unit"]
        if method == NATURAL:
            images[method, arch, unit] = natural.sel(arch=arch, unit=unit).values
        else:
            images[method, arch, unit] = image_of(batches[method, arch], unit, row["sample"])
    return images
