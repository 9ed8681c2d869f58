"""The images: the best natural one and every method's most exciting image, a column for each unit.

Images are shown as they are, 0 black and 1 white, without any stretch of contrast. Each unit's image is the one that
the generators rate highest; the number below it is its z-score under the last judge of the transfer store, the most
independent one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from v4egg.errors import V4eggError
from v4egg.evaluation.best_images import GENERATORS, best_images, load_transfer, mei_stores
from v4egg.figures import style, tiles

NATURAL = "model_selected_natural"
MAX_UNITS = 12
_CHARACTER = 0.06  # inches that a letter of a row's label takes, on the safe side
_TILE = (0.4, 0.9)  # smallest and largest side of an image, inches
_GAP, _NUMBER, _HEADER, _FOOTER = 0.04, 0.15, 0.36, 0.22  # inches


@dataclass(frozen=True)
class _Row:
    """One row of images, (channel, y, x) or None by unit, with the numbers of each."""

    method: str
    arch: str
    images: dict[str, np.ndarray | None]
    numbers: xr.Dataset  # best_images of this method and arch: dims (unit, judge)


def table(
    transfer: str | Path, meis: Sequence[str | Path], units: int = MAX_UNITS, chosen: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per image shown.

    Columns: method, arch, unit, sample, natural_image (id, of the best natural image only), generators_activation,
    judge, zscore (under that judge).

    Raises:
        V4eggError: a unit asked for is not in the transfer store, or a ``mei`` store lacks its attributes.
    """
    judged, rows = _read(transfer, meis, units, chosen)
    judge = str(judged["judge"].values[-1])
    records = [
        {
            "method": row.method,
            "arch": row.arch,
            "unit": unit,
            "sample": row.numbers["sample"].sel(unit=unit).item() if row.method != NATURAL else "",
            "natural_image": str(judged["model_selected_natural"].sel(arch=row.arch, unit=unit).item())
            if row.method == NATURAL
            else "",
            "generators_activation": float(row.numbers["activation"].sel(unit=unit, judge=GENERATORS)),
            "judge": judge,
            "zscore": float(row.numbers["zscore"].sel(unit=unit, judge=judge)),
        }
        for row in rows
        for unit, image in row.images.items()
        if image is not None
    ]
    return pd.DataFrame(records)


@style.styled
def draw(
    transfer: str | Path, meis: Sequence[str | Path], units: int = MAX_UNITS, chosen: Sequence[str] | None = None
) -> Figure:
    """The gallery: rows are the best natural image and each method by architecture, columns are units.

    The first ``units`` units are shown, in the order of ``chosen`` (ids) or else of the transfer store. Raises as
    :func:`table` does.
    """
    judged, rows = _read(transfer, meis, units, chosen)
    names = [str(unit) for unit in judged["unit"].values]
    left = 0.15 + _CHARACTER * max(len(line) for row in rows for line in _label(row).split("\n"))
    tile = float(np.clip((style.WIDTH - left) / len(names) - _GAP, *_TILE))
    width = max(left + len(names) * (tile + _GAP), 3.0)
    height = _HEADER + len(rows) * (tile + _NUMBER) + _FOOTER
    figure = Figure(figsize=(width, height))  # placed by hand: constrained layout leaves gaps between square images
    for number, row in enumerate(rows):
        bottom = height - _HEADER - (number + 1) * (tile + _NUMBER) + _NUMBER
        _draw_row(figure, row, (left, bottom, tile), number == 0)
    note = f"below each image: z-score under the {style.label(str(judged['judge'].values[-1]))} judge"
    figure.text(0.05 / width, 0.06 / height, note, fontsize=style.SMALL, color=style.GREY)
    return figure


def _label(row: _Row) -> str:
    return f"{style.label(row.method)}\n({style.label(row.arch)})"


def _draw_row(figure: Figure, row: _Row, place: tuple[float, float, float], first: bool) -> None:
    """``place`` is where the first image stands, in inches: left, bottom and side."""
    (start, bottom, tile), (width, height) = place, figure.get_size_inches()
    colour = style.colours([row.method])[row.method]
    middle = (bottom + tile / 2) / height
    figure.text((start - 0.08) / width, middle, _label(row), ha="right", va="center", color=colour)
    judge = row.numbers["judge"].values[-1]
    for column, (unit, image) in enumerate(row.images.items()):
        left = start + column * (tile + _GAP)
        axes = figure.add_axes((left / width, bottom / height, tile / width, tile / height))
        if first:
            title = {"ha": "center", "va": "bottom", "fontsize": style.SMALL}
            axes.text(0.5, 1.06, tiles.over_two_lines(unit), transform=axes.transAxes, **title)
        zscore = float(row.numbers["zscore"].sel(unit=unit, judge=judge))
        tiles.draw_image(axes, image, style.number(zscore, 1) if np.isfinite(zscore) else "")


def _read(
    transfer: str | Path, meis: Sequence[str | Path], units: int, chosen: Sequence[str] | None
) -> tuple[xr.Dataset, list[_Row]]:
    judged = load_transfer(transfer)
    known = [str(unit) for unit in judged["unit"].values]
    chosen = list(chosen) if chosen else known
    unknown = [unit for unit in chosen if unit not in known]
    if unknown or not chosen:
        raise V4eggError(f"{transfer}: has no unit {unknown or 'at all'}; choose among its {len(known)} units")
    judged = judged.sel(unit=chosen[:units])
    made = {pair: batches for pair, batches in mei_stores(meis).items() if pair[0] != NATURAL}
    best = best_images(judged)
    archs = [str(arch) for arch in judged["arch"].values]
    rows = [_natural_row(judged, best, arch) for arch in archs]
    methods = dict.fromkeys([*map(str, judged["method"].values), *(method for method, _ in made)])
    pairs = [(method, arch) for method in methods for arch in archs if (method, arch) in made]
    return judged, rows + [_made_row(best, made[pair], *pair) for pair in pairs]


def _numbers(best: xr.Dataset, method: str, arch: str) -> xr.Dataset:
    """The row of one method; NaN throughout if the transfer store does not hold it."""
    here = best.sel(arch=arch)
    known = method in here["method"].values
    return here.sel({"method": method}) if known else here.isel(method=0).where(False)


def _natural_row(judged: xr.Dataset, best: xr.Dataset, arch: str) -> _Row:
    images = judged["natural_image"].sel(arch=arch)
    found = {str(unit): images.sel(unit=unit).values for unit in images["unit"].values}
    shown = {unit: image if np.isfinite(image).all() else None for unit, image in found.items()}
    return _Row(NATURAL, arch, shown, _numbers(best, NATURAL, arch))


def _made_row(best: xr.Dataset, batches: Sequence[xr.Dataset], method: str, arch: str) -> _Row:
    numbers = _numbers(best, method, arch)
    found = {
        str(unit): _image_of(batches, str(unit), numbers["sample"].sel(unit=unit).item())
        for unit in numbers["unit"].values
    }
    return _Row(method, arch, found, numbers)


def _image_of(batches: Sequence[xr.Dataset], unit: str, sample: object) -> np.ndarray | None:
    """The image (channel, y, x) of a unit and sample in whichever batch has it; None if none was made."""
    for batch in (batch for batch in batches if unit in batch["unit"].values):
        position = np.flatnonzero(batch["sample"].values == sample)  # xarray numbers a dim without labels from 0
        if position.size:
            image = batch["image"].sel(unit=unit).isel(sample=position[0]).values
            return image if np.isfinite(image).all() else None
    return None
