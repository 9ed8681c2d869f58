"""The wiring of the simulated V4 units: which V1 channels each unit combines, and at which positions.

Positions and sizes are fractions of the image's side; angles are radians with y pointing down. The conjunctions are
preferences of V4 units that have been reported: curvature at a position on a contour (Pasupathy & Connor 2001), angles,
crosses and gratings (Hegdé & Van Essen 2007), dots and coloured patches (Cowley et al. 2026).
"""

from dataclasses import dataclass

import numpy as np

from v4egg.seeding import numpy_generator

WAVELENGTHS = (1 / 11, 2 / 11)  # of the Gabor filters: a fine and a coarse scale
ORIENTATIONS = 8  # of the normal of the grating, from 0 to pi
_ORIENTED = ("complex", "light_bar", "dark_bar", "edge", "opposite_edge")
_PLAIN = ("light_spot", "dark_spot", "red", "green", "yellow", "blue")
_PER_SCALE = len(_ORIENTED) * ORIENTATIONS + len(_PLAIN)
CHANNELS = len(WAVELENGTHS) * _PER_SCALE
PARTS = 3  # of a conjunction; in simpler units some have the exponent 0
POSITIONS = 5  # per side of the square lattice over which a unit tolerates displacement
_TUNING = 8.0  # concentration of a part's weights over orientations: adds about 17 degrees to the filters' half-width


@dataclass
class Unit:
    """The wiring of one V4 unit.

    Attributes:
        centre: (2,) x and y of the receptive field.
        size: standard deviation of the receptive field.
        weights: (PARTS + 1, CHANNELS) of each part over V1 channels; the last row is the suppressive pool.
        offsets: (PARTS + 1, 2) x and y of each part from the centre.
        spreads: (PARTS + 1,) standard deviation of the Gaussian over which each part pools.
        exponents: (PARTS,) of the geometric mean; they sum to 1.
        tolerance: half the side of the lattice of displacements that the unit tolerates.
        suppression: strength of the suppressive pool.

    Example:
        >>> unit = draw_unit(seed=0, unit=3)
        >>> unit.weights.shape == (PARTS + 1, CHANNELS), round(float(unit.exponents.sum()), 6)
        (True, 1.0)
    """

    centre: np.ndarray
    size: float
    weights: np.ndarray
    offsets: np.ndarray
    spreads: np.ndarray
    exponents: np.ndarray
    tolerance: float
    suppression: float


@dataclass
class _Part:
    weights: np.ndarray
    offset: np.ndarray  # in receptive field sizes


def channel(kind: str, scale: int, orientation: int = 0) -> int:
    """Return the position of a V1 channel on the channel axis.

    Args:
        kind: a complex cell (``complex``), a simple cell (``light_bar``, ``dark_bar``, ``edge``, ``opposite_edge``), a
            spot (``light_spot``, ``dark_spot``) or a colour (``red``, ``green``, ``yellow``, ``blue``).
        scale: index in :data:`WAVELENGTHS`.
        orientation: index of the orientation; spots and colours have none.

    Example:
        >>> channel("edge", scale=0, orientation=2), channel("red", scale=1)
        (26, 88)
    """
    if kind in _ORIENTED:
        return scale * _PER_SCALE + _ORIENTED.index(kind) * ORIENTATIONS + orientation
    return scale * _PER_SCALE + len(_ORIENTED) * ORIENTATIONS + _PLAIN.index(kind)


def draw_unit(seed: int, unit: int) -> Unit:
    """Draw the wiring of the unit with the number ``unit`` in the brain with this seed."""
    generator = numpy_generator("simulated brain", seed, unit)
    names = list(_KINDS)
    draw, _ = _KINDS[names[generator.choice(len(names), p=[_KINDS[name][1] for name in names])]]
    scale = int(generator.random() < 0.6)
    parts = draw(generator, scale)
    size = generator.uniform(0.08, 0.18)
    absent = PARTS - len(parts)
    filled = [*parts, *[parts[0]] * absent]
    return Unit(
        centre=generator.uniform(0.28, 0.72, 2),
        size=size,
        weights=np.stack([*[part.weights for part in filled], _suppressive(generator, filled[0].weights)]),
        offsets=np.stack([*[part.offset for part in filled], np.zeros(2)]) * size,
        spreads=np.array([*[0.35 * size] * PARTS, size]),
        exponents=np.array([1 / len(parts)] * len(parts) + [0.0] * absent),
        tolerance=0.4 * size,
        suppression=generator.uniform(0.3, 1.0),
    )


def _oriented(kind: str, scale: int, normal: float) -> np.ndarray:
    """Weights over channels, tuned to the normal of a contour; an ``edge`` is light in the direction of the normal."""
    weights = np.zeros(CHANNELS)
    angles = np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS
    for i, angle in enumerate(angles):
        if kind == "edge":
            weights[channel("edge", scale, i)] = np.exp(4 * _TUNING * (np.cos(normal - angle) - 1))
            weights[channel("opposite_edge", scale, i)] = np.exp(4 * _TUNING * (-np.cos(normal - angle) - 1))
        else:
            weights[channel(kind, scale, i)] = np.exp(_TUNING * (np.cos(2 * (normal - angle)) - 1))
    return weights / weights.sum()


def _plain(kind: str, scale: int) -> np.ndarray:
    weights = np.zeros(CHANNELS)
    weights[channel(kind, scale)] = 1.0
    return weights


def _suppressive(generator: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """Complex cells of all orientations that the first part does not use, and one colour."""
    excitation = np.zeros(ORIENTATIONS)
    for kind in _ORIENTED:
        excitation += sum(
            weights[[channel(kind, scale, i) for i in range(ORIENTATIONS)]] for scale in range(len(WAVELENGTHS))
        )
    pool = np.zeros(CHANNELS)
    for scale in range(len(WAVELENGTHS)):
        for i in range(ORIENTATIONS):
            pool[channel("complex", scale, i)] = (
                1.0 - excitation[i] / max(excitation.max(), 1e-9)
            ) * generator.uniform(0.5, 1.5)
    pool /= pool.sum()
    return pool + 0.3 * _plain(str(generator.choice([name for name in _PLAIN if not _uses(weights, name)])), 1)


def _uses(weights: np.ndarray, kind: str) -> bool:
    return any(weights[channel(kind, scale)] > 0 for scale in range(len(WAVELENGTHS)))


def _direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _curve(generator: np.random.Generator, scale: int) -> list[_Part]:
    """Three pieces of an arc, their normals along its radii."""
    kind = str(generator.choice(["complex", "light_bar", "dark_bar", "edge", "edge"]))
    middle, bend, radius = generator.uniform(0, 2 * np.pi), generator.uniform(0.4, 1.0), generator.uniform(0.9, 1.5)
    inward = np.pi * int(generator.random() < 0.5)  # which side of an edge is light
    angles = middle + bend * np.array([-1.0, 0.0, 1.0])
    centroid = radius * np.mean([_direction(angle) for angle in angles], axis=0)
    return [_Part(_oriented(kind, scale, angle + inward), radius * _direction(angle) - centroid) for angle in angles]


def _corner(generator: np.random.Generator, scale: int) -> list[_Part]:
    """Two arms that meet; with edges, the light is inside the angle or outside it."""
    kind = str(generator.choice(["complex", "light_bar", "dark_bar", "edge"]))
    axis, half = generator.uniform(0, 2 * np.pi), generator.uniform(0.45, 0.95)
    outward = np.pi * int(generator.random() < 0.5)
    arms = [(axis - half, axis - half + np.pi / 2), (axis + half, axis + half - np.pi / 2)]
    return [_Part(_oriented(kind, scale, normal + outward), 0.9 * _direction(arm)) for arm, normal in arms]


def _cross(generator: np.random.Generator, scale: int) -> list[_Part]:
    """Two orientations at one place."""
    kind = str(generator.choice(["complex", "light_bar", "dark_bar"]))
    normal, between = generator.uniform(0, np.pi), generator.uniform(1.0, np.pi / 2)
    return [_Part(_oriented(kind, scale, normal + shift), np.zeros(2)) for shift in (0.0, between)]


def _grating(generator: np.random.Generator, scale: int) -> list[_Part]:
    """One orientation at three places along its normal."""
    normal = generator.uniform(0, np.pi)
    return [_Part(_oriented("complex", scale, normal), shift * _direction(normal)) for shift in (-1.0, 0.0, 1.0)]


def _dot(generator: np.random.Generator, scale: int) -> list[_Part]:
    """A light or dark spot, sometimes with a second one beside it."""
    kind = str(generator.choice(["light_spot", "dark_spot"]))
    shift = generator.uniform(0.6, 1.0) * _direction(generator.uniform(0, 2 * np.pi))
    offsets = [shift, -shift] if generator.random() < 0.3 else [np.zeros(2)]
    return [_Part(_plain(kind, scale), offset) for offset in offsets]


def _coloured_patch(generator: np.random.Generator, scale: int) -> list[_Part]:
    """A patch of one colour, often beside its opponent."""
    colour, opponent = generator.permutation([["red", "green"], ["yellow", "blue"]][generator.integers(2)])
    shift = 0.8 * _direction(generator.uniform(0, 2 * np.pi))
    if generator.random() < 0.5:
        return [_Part(_plain(str(colour), 1), np.zeros(2))]
    return [_Part(_plain(str(colour), 1), shift), _Part(_plain(str(opponent), scale), -shift)]


def _coloured_edge(generator: np.random.Generator, scale: int) -> list[_Part]:
    """A luminance edge or bar with a colour on one side."""
    kind, colour = str(generator.choice(["edge", "complex"])), str(generator.choice(["red", "green", "yellow", "blue"]))
    normal = generator.uniform(0, 2 * np.pi)
    side = 0.7 * _direction(normal) * generator.choice([-1.0, 1.0])
    return [_Part(_oriented(kind, scale, normal), -side), _Part(_plain(colour, 1), side)]


_KINDS = {
    "curve": (_curve, 0.30),
    "corner": (_corner, 0.15),
    "cross": (_cross, 0.10),
    "grating": (_grating, 0.10),
    "dot": (_dot, 0.12),
    "coloured patch": (_coloured_patch, 0.10),
    "coloured edge": (_coloured_edge, 0.13),
}
