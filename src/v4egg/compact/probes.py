"""Probe stimuli for the selectivity of neurons: dots, gratings, edges, curved contours, textures, colours.

:func:`probe_table` describes the probes, one per row; :func:`render` draws any rows of it at any size, on a grey
background. Lengths and positions are fractions of the image's side (x, y = 0.5, 0.5 is its centre), orientations are in
degrees, frequencies in cycles per image. Edges are antialiased over one pixel, so that sizes between pixels differ.

The stimulus classes follow earlier studies of V4: gratings (Desimone & Schein 1987), curved contours (Pasupathy &
Connor 1999), textures (Okazawa et al. 2015), colours (Zeki 1973), dots (Cowley et al. 2026).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.seeding import torch_generator

Row = Mapping[Any, Any]  # one probe: its stimulus class and parameters

GREY = 0.5  # intensity of the background
PARAMETERS = (
    "size",
    "x",
    "y",
    "polarity",
    "orientation",
    "frequency",
    "phase",
    "curvature",
    "hue",
    "sample",
)
SIZES = (0.035, 0.07, 0.105, 0.14, 0.2, 0.35)  # diameters of dots: 4 to 39 of 112 px
FREQUENCIES = (2.0, 4.0, 8.0, 14.0, 20.0, 28.0)
TEXTURE_FREQUENCIES = (4.0, 8.0, 16.0, 28.0)
_CONTOUR = {"length": 0.2, "width": 0.035}
_CURVATURE = 10.0  # of curved contours, 1 / side: a third of a circle with that length
_SPACING = 2.5  # of the dots of an array, in diameters
_TEXTURE_CONTRAST = 0.2  # RMS
_OCTAVES, _DEGREES = 0.5, 15.0  # sd of a texture's band in frequency and orientation


def probe_table(places: int = 5, samples: int = 2) -> pd.DataFrame:
    """The table of all probes, one row per probe, indexed by the probe's name.

    Args:
        places: single dots and contours are shown at ``places`` x ``places`` positions over the central 60% of the
            image.
        samples: noise samples per texture.

    Returns:
        Columns are ``stimulus_class`` and :data:`PARAMETERS`, NaN where a class does not use a parameter. Stimulus
        classes are ``grey`` (one probe, the background alone), ``dot``, ``dots`` (arrays), ``grating``, ``edge``,
        ``contour`` (straight ones have curvature 0), ``texture`` (without orientation: isotropic) and ``colour``
        (without hue: white or black).

    >>> table = probe_table(places=1, samples=1)
    >>> table.index[:3].tolist()
    ['grey', 'dot-size0.035-x0.5-y0.5-polarity1', 'dot-size0.035-x0.5-y0.5-polarity-1']
    >>> render(table.iloc[:3], size=56).shape
    torch.Size([3, 3, 56, 56])
    """
    line = np.linspace(0.2, 0.8, places) if places > 1 else np.array([0.5])
    positions = [{"x": float(x), "y": float(y)} for y, x in product(line, line)]
    signs = (1.0, -1.0)
    rows: list[dict[str, Any]] = [{"stimulus_class": "grey"}]
    rows += [{"stimulus_class": "dot", "size": s, "polarity": p, **at} for s, p, at in product(SIZES, signs, positions)]
    rows += [
        {"stimulus_class": "dots", "size": s, "polarity": p, "phase": a}
        for s, p, a in product(SIZES, signs, (0.0, 180.0))
    ]
    rows += [
        {"stimulus_class": "grating", "orientation": o, "frequency": f, "phase": a}
        for o, f, a in product(np.arange(0, 180, 22.5), FREQUENCIES, (0.0, 90.0, 180.0, 270.0))
    ]
    rows += [{"stimulus_class": "edge", "orientation": o, "x": x} for o, x in product(np.arange(0, 360, 45.0), line)]
    shapes = [(o, 0.0) for o in np.arange(0, 180, 45.0)] + [(o, _CURVATURE) for o in np.arange(0, 360, 45.0)]
    rows += [
        {"stimulus_class": "contour", "orientation": o, "curvature": c, "polarity": p, **at}
        for (o, c), p, at in product(shapes, signs, positions)
    ]
    rows += [
        {"stimulus_class": "texture", "orientation": o, "frequency": f, "sample": float(s)}
        for o, f, s in product([*np.arange(0, 180, 22.5), np.nan], TEXTURE_FREQUENCIES, range(samples))
    ]
    rows += [{"stimulus_class": "colour", "hue": h, "size": s} for h, s in product(np.arange(0, 360, 30.0), (0.5, 2.0))]
    rows += [{"stimulus_class": "colour", "polarity": p, "size": s} for p, s in product(signs, (0.5, 2.0))]
    table = pd.DataFrame(rows).reindex(columns=["stimulus_class", *PARAMETERS])
    table.index = pd.Index([_name(row) for row in table.to_dict("records")], name="probe")
    return table


def _name(row: Row) -> str:
    parameters = [f"{key}{row[key]:g}" for key in PARAMETERS if np.isfinite(row[key])]
    return "-".join([row["stimulus_class"], *parameters])


def probe_of(names: Sequence[str]) -> pd.DataFrame:
    """The rows of the probe table for these names, in their order.

    Raises:
        V4eggError: a name is not that of a probe.
    """
    rows = []
    for name in names:
        stimulus_class, *rest = name.split("-", 1)
        values = re.findall(rf"({'|'.join(PARAMETERS)})(-?[\d.]+)", rest[0] if rest else "")
        rows.append({"stimulus_class": stimulus_class, **{key: float(value) for key, value in values}})
    table = pd.DataFrame(rows).reindex(columns=["stimulus_class", *PARAMETERS])
    for name, row in zip(names, table.to_dict("records"), strict=True):
        if row["stimulus_class"] not in STIMULUS_CLASSES or _name(row) != name:
            raise V4eggError(f"probes: '{name}' is not the name of a probe; take one from the probe table")
    return table.set_index(pd.Index(list(names), name="probe"))


def render(table: pd.DataFrame, size: int) -> Tensor:
    """Draw the probes of a table.

    Args:
        table: rows of :func:`probe_table`.
        size: side of the images in pixels.

    Returns:
        Images (n, 3, size, size), float32 in [0, 1].

    Raises:
        V4eggError: a row's stimulus class is unknown.
    """
    images = []
    for row in table.to_dict("records"):
        if row["stimulus_class"] not in STIMULUS_CLASSES:
            raise V4eggError(
                f"probes: unknown stimulus class '{row['stimulus_class']}'; known: {', '.join(STIMULUS_CLASSES)}"
            )
        images.append(STIMULUS_CLASSES[row["stimulus_class"]](row, size).expand(3, size, size))
    return torch.stack(images).clamp(0, 1) if images else torch.zeros(0, 3, size, size)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """x and y coordinates (size, size) of the pixels' centres."""
    line = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def _inside(distance: Tensor, size: int) -> Tensor:
    """1 inside a border (signed ``distance`` below 0), 0 outside, and a ramp of one pixel between."""
    return (0.5 - distance * size).clamp(0, 1)


def _on_grey(mask: Tensor, polarity: float) -> Tensor:
    return GREY + 0.5 * polarity * mask


def _rotated(x: Tensor, y: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """Coordinates along and across a direction."""
    angle = np.deg2rad(degrees)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _grey(row: Row, size: int) -> Tensor:
    return torch.full((1, size, size), GREY)


def _dot(row: Row, size: int) -> Tensor:
    x, y = _grid(size)
    return _on_grey(_inside(torch.hypot(x - row["x"], y - row["y"]) - row["size"] / 2, size), row["polarity"])


def _dots(row: Row, size: int) -> Tensor:
    """A square array over the whole image; at phase 0 a dot is at the centre, at 180 the gap between four dots."""
    x, y = _grid(size)
    period = _SPACING * row["size"]
    offset = row["phase"] / 360 * period
    nearest = [(line - 0.5 + offset + period / 2) % period - period / 2 for line in (x, y)]
    return _on_grey(_inside(torch.hypot(*nearest) - row["size"] / 2, size), row["polarity"])


def _grating(row: Row, size: int) -> Tensor:
    x, y = _grid(size)
    across, _ = _rotated(x - 0.5, y - 0.5, row["orientation"])
    return GREY + 0.5 * torch.cos(2 * np.pi * row["frequency"] * across + np.deg2rad(row["phase"]))


def _edge(row: Row, size: int) -> Tensor:
    """White on one side and black on the other; ``x`` is the position of the edge across the image."""
    x, y = _grid(size)
    across, _ = _rotated(x - 0.5, y - 0.5, row["orientation"])
    return _inside(across - (row["x"] - 0.5), size)


def _contour(row: Row, size: int) -> Tensor:
    """A line through (x, y) along a direction, or an arc that bends to the right of it."""
    x, y = _grid(size)
    along, across = _rotated(x - row["x"], y - row["y"], row["orientation"])
    if row["curvature"] == 0:
        lateral, axial = across.abs(), along.abs()
    else:
        radius = 1 / row["curvature"]
        distance = torch.hypot(along, across - radius)
        lateral = (distance - radius).abs()
        axial = radius * torch.atan2(along, radius - across).abs()
    outside = torch.maximum(lateral - _CONTOUR["width"] / 2, axial - _CONTOUR["length"] / 2)
    return _on_grey(_inside(outside, size), row["polarity"])


def _texture(row: Row, size: int) -> Tensor:
    """Gaussian noise in a band of frequencies, and of orientations if one is given."""
    key = ("probe texture", size, row["orientation"], row["frequency"], int(row["sample"]))
    noise = torch.fft.fft2(torch.randn(size, size, generator=torch_generator(*key)))
    cycles = torch.fft.fftfreq(size, 1 / size)
    fy, fx = torch.meshgrid(cycles, cycles, indexing="ij")
    frequency = torch.hypot(fx, fy).clamp_min(0.5)
    band = torch.exp(-0.5 * (torch.log2(frequency / row["frequency"]) / _OCTAVES) ** 2)
    band[0, 0] = 0
    if np.isfinite(row["orientation"]):
        angle = torch.rad2deg(torch.atan2(fy, fx)) - row["orientation"]
        band = band * torch.exp(-0.5 * (((angle + 90) % 180 - 90) / _DEGREES) ** 2)
    filtered = torch.fft.ifft2(noise * band).real
    return (GREY + _TEXTURE_CONTRAST * filtered / filtered.std())[None]


def _colour(row: Row, size: int) -> Tensor:
    """A central disc, or the whole image (size 2), of a fully saturated hue, or white or black."""
    x, y = _grid(size)
    mask = _inside(torch.hypot(x - 0.5, y - 0.5) - row["size"] / 2, size)
    if not np.isfinite(row["hue"]):
        return _on_grey(mask, row["polarity"])
    return GREY + mask * (_hue(row["hue"]).view(3, 1, 1) - GREY)


def _hue(degrees: float) -> Tensor:
    """RGB (3,) of a hue at full saturation and value: 0 red, 120 green, 240 blue."""
    sector = torch.tensor([5.0, 3.0, 1.0]) + degrees / 60
    return 1 - torch.minimum(sector % 6, 4 - sector % 6).clamp(0, 1)


STIMULUS_CLASSES: dict[str, Callable[[Row, int], Tensor]] = {
    "grey": _grey,
    "dot": _dot,
    "dots": _dots,
    "grating": _grating,
    "edge": _edge,
    "contour": _contour,
    "texture": _texture,
    "colour": _colour,
}
