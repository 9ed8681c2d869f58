"""Responses in a plain folder: of presentations by unit, in a table or an array, or of units, images and repeats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from v4egg.errors import V4eggError
from v4egg.images.names import match_names, natural_order
from v4egg.io.tables import numbers, read_table, texts
from v4egg.recordings.readers.folder_layout import Layout
from v4egg.recordings.readers.folder_spikes import load_array
from v4egg.recordings.readers.image_files import missing_images


def per_presentation(path: Path, rows: int, units: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Responses of each presentation.

    Args:
        path: a table with a column per unit, or an array (presentation, unit); rows in the order of the presentations.
        rows: number of rows of the table of presentations.
        units: names of the units, as their table has them; None: of a table its columns, of an array numbers.

    Returns:
        float64 (presentation, unit), and the names of the units.

    Raises:
        V4eggError: the responses do not fit the presentations or the units.
    """
    if path.suffix == ".npy":
        values = _numeric(path)
        names = list(units) if units is not None else [str(i) for i in range(values.shape[-1])]
        expected = f"({rows} presentations, {len(units) if units is not None else 'units'})"
        if values.ndim != 2 or values.shape[0] != rows or values.shape[1] != len(names):
            raise V4eggError(f"{path}: an array of shape {values.shape}, expected {expected}; turn or correct it")
        if units is None and values.shape[1] == rows:
            raise V4eggError(
                f"{path}: {rows} presentations and as many units, so that its axes cannot be told; give units.csv with "
                "a row per unit, or the counts as a table"
            )
        return values, names
    table = read_table(path)
    names = [str(name) for name in table]
    if len(table) != rows:
        raise V4eggError(f"{path}: {len(table)} rows for {rows} presentations; give one row per presentation")
    if units is not None and sorted(names) != sorted(units):
        odd = sorted(set(names) ^ set(units))
        raise V4eggError(f"{path}: its columns are not the units of the table of units, such as {odd[0]}; correct one")
    values = np.stack([numbers(table[name], path) for name in table], axis=1)
    if units is None:
        _refuse_row_numbers(path, values, names)
    order = [names.index(name) for name in (natural_order(names) if units is None else units)]
    return values[:, order], [names[i] for i in order]


def per_image(path: Path, images: int, units: Sequence[str] | None) -> tuple[np.ndarray, list[str], list[str]]:
    """Responses of each image.

    Args:
        path: an array (unit, image, repeat), or (unit, image) of means.
        images: number of images.
        units: names of the units; None: numbers.

    Returns:
        float64 (image, repeat, unit), the names of the units, and warnings.

    Raises:
        V4eggError: the array does not fit the images or the units.
    """
    if path.suffix != ".npy":
        raise V4eggError(f"{path}: a table of counts needs a table of presentations with a row for each of its rows")
    values = _numeric(path)
    values = values[..., None] if values.ndim == 2 else values
    names = list(units) if units is not None else [str(i) for i in range(len(values))]
    if values.ndim != 3 or values.shape[1] != images or len(values) != len(names):
        raise V4eggError(
            f"{path}: an array of shape {values.shape}, expected (unit, image, repeat) with {images} images"
            f"{'' if units is None else f' and {len(units)} units'}; turn its axes or correct it"
        )
    told = []
    if images == len(names):
        told.append(f"{path.name}: as many units as images; its axes are taken to be unit, image, repeat")
    return values.transpose(1, 2, 0), names, told


def image_order(layout: Layout, names: list[str], number: int) -> list[str]:
    """The names of images in the order of an array's image axis.

    Args:
        layout: of the folder; its table of the order of images counts, if there is one.
        names: all images in natural order.
        number: of images in the array.

    Raises:
        V4eggError: nothing tells the order: names sort one way as text and another way by their numbers.
    """
    if layout.image_order is not None:
        table = read_table(layout.image_order)
        wanted = texts(table.iloc[:, 0])
        where = f"{layout.image_order}: {table.columns[0]}"
        places = match_names([str(name) for name in wanted], names, ordered=False, where=where)
        missing_images(wanted, places, where, len(names), "correct the name")
        return [names[place] for place in places if place is not None]
    if names != sorted(names) and number > 1:
        raise V4eggError(
            f"{layout.images}: names in the order of their numbers ({', '.join(names[:3])}) and as text "
            f"({', '.join(sorted(names)[:3])}) differ, and which one {layout.counts} has is not known; list the names "
            f"in its order in {layout.folder / 'images.csv'}, under the header image"
        )
    return names


def _numeric(path: Path) -> np.ndarray:
    values = load_array(path)
    if values.dtype.kind not in "biuf":
        raise V4eggError(f"{path}: an array of {values.dtype}, expected numbers; save it anew")
    return np.asarray(values, "float64")


def _refuse_row_numbers(path: Path, values: np.ndarray, names: list[str]) -> None:
    rows = np.arange(len(values))
    for name, column in zip(names, values.T, strict=True):
        if len(rows) > 2 and (np.array_equal(column, rows) or np.array_equal(column, rows + 1)):
            raise V4eggError(
                f"{path}: column {name} numbers the rows and is no unit; remove it, or list units in units.csv"
            )


def units_table(path: Path | None, column: str) -> tuple[pd.DataFrame | None, list[str] | None]:
    """The table of units and their names; None where there is none.

    Raises:
        V4eggError: it has no column of names, or a unit twice or without a name.
    """
    if path is None:
        return None, None
    table = read_table(path)
    if column not in table:
        raise V4eggError(f"{path}: no column {column}; columns are {', '.join(map(str, table))}; set columns.unit")
    names = [name or "" for name in texts(table[column])]
    double = sorted({name for name in names if names.count(name) > 1} | ({""} & set(names)))
    if double:
        raise V4eggError(f"{path}: unit '{double[0]}' is there twice or has no name; correct it")
    return table, names
