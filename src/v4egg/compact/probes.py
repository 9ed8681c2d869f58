"""Stimuli that ask what a neuron is selective for: dots, gratings, edges, curved contours, textures, colours.

A table says what each probe is, one a row; :func:`render` draws any rows of it at any size, on a grey ground. Lengths
and places are shares of the image's side (place 0.5, 0.5 is its middle), orientations are in degrees, frequencies in
cycles an image. Edges are smooth over a pixel, so that sizes between pixels differ.

The stimulus classes follow earlier studies of V4: gratings (Desimone & Schein 1987), curved contours (Pasupathy &
Connor 1999), textures (Okazawa et al. 2015), colours (Zeki 1973), dots (Cowley et al. 2023).
"""

import re
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.seeding import torch_generator

GREY = 0.5
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
    """The table of all probes, one row per probe, with its name as index.

    Columns are ``stimulus_class`` and :data:`PARAMETERS`, NaN where a class does not use a parameter.

    Args:
        places: single dots and contours stand at ``places`` x ``places`` places over the middle 60% of the image.
        samples: noises of each texture.

    Returns:
        Stimulus classes ``grey`` (one, the ground alone), ``dot``, ``dots`` (arrays), ``grating``, ``edge``,
        ``contour`` (straight ones have curvature 0), ``texture`` (without orientation: isotropic) and ``colour``
        (without hue: white or black).
    """
    line = np.linspace(0.2, 0.8, places) if places > 1 else np.array([0.5])
    where = [{"x": float(x), "y": float(y)} for y, x in product(line, line)]
    signs = (1.0, -1.0)
    rows: list[dict] = [{"stimulus_class": "grey"}]
    rows += [{"stimulus_class": "dot", "size": s, "polarity": p, **at} for s, p, at in product(SIZES, signs, where)]
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
        for (o, c), p, at in product(shapes, signs, where)
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


def _name(row: dict) -> str:
    known = [f"{key}{row[key]:g}" for key in PARAMETERS if np.isfinite(row[key])]
    return "-".join([row["stimulus_class"], *known])


def probe_of(names: Sequence[str]) -> pd.DataFrame:
    """The rows of a probe table that have these names, whatever their order.

    Raises:
        V4eggError: a name is no probe's.
    """
    rows = []
    for name in names:
        stimulus_class, *rest = name.split("-", 1)
        values = re.findall(rf"({'|'.join(PARAMETERS)})(-?[\d.]+)", rest[0] if rest else "")
        rows.append({"stimulus_class": stimulus_class, **{key: float(value) for key, value in values}})
    table = pd.DataFrame(rows).reindex(columns=["stimulus_class", *PARAMETERS])
    for name, row in zip(names, table.to_dict("records"), strict=True):
        if row["stimulus_class"] not in STIMULUS_CLASSES or _name(row) != name:
            raise V4eggError(f"probes: '{name}' is no probe's name; take one of the table's")
    return table.set_index(pd.Index(list(names), name="probe"))


def render(table: pd.DataFrame, size: int) -> Tensor:
    """The images (n, 3, size, size) in [0, 1] of a table's rows.

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
    """x and y (size, size) of the pixels' middles."""
    line = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def _inside(distance: Tensor, size: int) -> Tensor:
    """1 where the signed ``distance`` to a border is below 0, 0 where above, and a ramp of one pixel between."""
    return (0.5 - distance * size).clamp(0, 1)


def _on_grey(mask: Tensor, polarity: float) -> Tensor:
    return GREY + 0.5 * polarity * mask


def _turned(x: Tensor, y: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """Coordinates along and across a direction."""
    angle = np.deg2rad(degrees)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _grey(row: dict, size: int) -> Tensor:
    return torch.full((1, size, size), GREY)


def _dot(row: dict, size: int) -> Tensor:
    x, y = _grid(size)
    return _on_grey(_inside(torch.hypot(x - row["x"], y - row["y"]) - row["size"] / 2, size), row["polarity"])


def _dots(row: dict, size: int) -> Tensor:
    """A square array over the whole image; at phase 0 a dot is in the middle, at 180 the gap between four."""
    x, y = _grid(size)
    period = _SPACING * row["size"]
    offset = row["phase"] / 360 * period
    nearest = [(line - 0.5 + offset + period / 2) % period - period / 2 for line in (x, y)]
    return _on_grey(_inside(torch.hypot(*nearest) - row["size"] / 2, size), row["polarity"])


def _grating(row: dict, size: int) -> Tensor:
    x, y = _grid(size)
    across, _ = _turned(x - 0.5, y - 0.5, row["orientation"])
    return GREY + 0.5 * torch.cos(2 * np.pi * row["frequency"] * across + np.deg2rad(row["phase"]))


def _edge(row: dict, size: int) -> Tensor:
    """White on one side and black on the other, ``x`` from one side of the image to the other."""
    x, y = _grid(size)
    across, _ = _turned(x - 0.5, y - 0.5, row["orientation"])
    return _inside(across - (row["x"] - 0.5), size)


def _contour(row: dict, size: int) -> Tensor:
    """A line along a direction through its place, or an arc that bends to the right of it."""
    x, y = _grid(size)
    along, across = _turned(x - row["x"], y - row["y"], row["orientation"])
    if row["curvature"] == 0:
        beside, beyond = across.abs(), along.abs()
    else:
        radius = 1 / row["curvature"]
        distance = torch.hypot(along, across - radius)
        beside = (distance - radius).abs()
        beyond = radius * torch.atan2(along, radius - across).abs()
    outside = torch.maximum(beside - _CONTOUR["width"] / 2, beyond - _CONTOUR["length"] / 2)
    return _on_grey(_inside(outside, size), row["polarity"])


def _texture(row: dict, size: int) -> Tensor:
    """Gaussian noise in a band of frequencies, and of orientations if there is one."""
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


def _colour(row: dict, size: int) -> Tensor:
    """A disc in the middle, or the whole image (size 2), of a fully saturated hue, or white or black."""
    x, y = _grid(size)
    mask = _inside(torch.hypot(x - 0.5, y - 0.5) - row["size"] / 2, size)
    if not np.isfinite(row["hue"]):
        return _on_grey(mask, row["polarity"])
    return GREY + mask * (_hue(row["hue"]).view(3, 1, 1) - GREY)


def _hue(degrees: float) -> Tensor:
    """RGB (3,) of a hue at full saturation and value: 0 red, 120 green, 240 blue."""
    sector = torch.tensor([5.0, 3.0, 1.0]) + degrees / 60
    return 1 - torch.minimum(sector % 6, 4 - sector % 6).clamp(0, 1)


STIMULUS_CLASSES: dict[str, Callable[[dict, int], Tensor]] = {
    "grey": _grey,
    "dot": _dot,
    "dots": _dots,
    "grating": _grating,
    "edge": _edge,
    "contour": _contour,
    "texture": _texture,
    "colour": _colour,
}
