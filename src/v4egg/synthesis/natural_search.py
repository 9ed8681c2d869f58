"""Natural search: the images of a pool that a model predicts to excite each unit most, in one pass, memory flat.

Batches are forgotten once the model has seen them: what stays is k images a unit. The result does not depend on how the
pool is cut into batches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.images.pool import Batch
from v4egg.images.processing import to_float

ALIKE = 1e-4  # relative difference of two responses below which images are compared pixel by pixel


def natural_search(
    model: Ensemble, units: Sequence[str], batches: Iterable[Batch], *, k: int, device: str = "cpu"
) -> xr.Dataset:
    """The ``k`` images with the highest predicted response for each unit, best first; of kind ``natural``.

    An image that the pool holds twice counts once, and of two with equal responses the earlier is the better one.

    Args:
        model: predicts the responses; its members are averaged.
        units: unit ids of the model.
        batches: the pool in pieces, such as :func:`v4egg.images.pool.pool_batches` gives; all images of one shape.
        k: images a unit.

    Returns:
        image[unit, sample, channel, y, x] in [0, 1], response[unit, sample], source[unit, sample], position[unit,
        sample] in the pool, and mean[unit] and sd[unit] of the response over the pool (duplicates included).

    Raises:
        V4eggError: the pool holds fewer than k different images, no unit is asked for, or a response
            is not finite; names unit and image.
    """
    if not units:
        raise V4eggError("natural search: no unit is asked for; select targets first")
    model, index = model.to(device), model.index(units).to(device)
    best = [_Best(k) for _ in units]
    moments = _Moments(len(units))
    for images, sources in batches:
        with torch.no_grad():
            responses = model(to_float(images).to(device), index).double().cpu().numpy()
        _check(responses, units, moments.n)
        for column, kept in enumerate(best):
            kept.offer(responses[:, column], images, sources, moments.n)
        moments.add(responses)
    short = min(len(kept.entries) for kept in best)
    if short < k:
        raise V4eggError(f"natural search: the pool holds {short} different images, natural.k is {k}; lower it")
    return _dataset(units, best, moments)


@dataclass(frozen=True)
class _Entry:
    response: float
    position: int
    source: str
    image: np.ndarray


class _Best:
    """The k best images of one unit so far, best first."""

    def __init__(self, k: int):
        self.k, self.entries = k, []

    def offer(self, responses: np.ndarray, images: np.ndarray, sources: Sequence[str], first: int) -> None:
        """Responses (n,) and images (n, c, y, x) from position ``first`` of the pool on."""
        for row in np.argsort(-responses, kind="stable"):
            response = float(responses[row])
            if len(self.entries) == self.k and response <= self.entries[-1].response:
                return  # what follows is no better
            if not self._holds(response, images[row]):
                entry = _Entry(response, first + int(row), str(sources[row]), images[row].copy())
                self.entries = sorted([*self.entries, entry], key=lambda e: (-e.response, e.position))[: self.k]

    def _holds(self, response: float, image: np.ndarray) -> bool:
        margin = ALIKE * max(abs(response), 1.0)
        alike = (e for e in self.entries if abs(e.response - response) <= margin)
        return any(np.array_equal(entry.image, image) for entry in alike)


@dataclass
class _Moments:
    """Mean and variance over a stream, batch by batch (Chan, Golub & LeVeque 1983)."""

    units: int
    n: int = 0
    mean: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)

    def __post_init__(self):
        self.mean, self.squares = np.zeros(self.units), np.zeros(self.units)

    def add(self, responses: np.ndarray) -> None:
        count = len(responses)
        if not count:
            return
        mean = responses.mean(0)
        gap, total = mean - self.mean, self.n + count
        self.squares += ((responses - mean) ** 2).sum(0) + gap**2 * self.n * count / total
        self.mean += gap * count / total
        self.n = total


def _check(responses: np.ndarray, units: Sequence[str], first: int) -> None:
    bad = np.argwhere(~np.isfinite(responses))
    if len(bad):
        row, column = bad[0]
        raise V4eggError(
            f"natural search: the predicted response of unit {units[column]} to image {first + row} of the pool is "
            "not finite; leave the unit out or train its encoder again"
        )


def _dataset(units: Sequence[str], best: Sequence[_Best], moments: _Moments) -> xr.Dataset:
    def table(name: str) -> list[list]:
        return [[getattr(entry, name) for entry in kept.entries] for kept in best]

    dims = ("unit", "sample")
    return xr.Dataset(
        {
            "image": ((*dims, "channel", "y", "x"), np.asarray(table("image"), np.float32) / 255),
            "response": (dims, np.asarray(table("response"), np.float32)),
            "source": (dims, np.asarray(table("source"), object)),
            "position": (dims, np.asarray(table("position"), np.int64)),
            "mean": ("unit", moments.mean.astype(np.float32)),
            "sd": ("unit", np.sqrt(moments.squares / moments.n).astype(np.float32)),
        },
        {"unit": np.asarray(list(units), object)},
        {"images": moments.n},
    )
