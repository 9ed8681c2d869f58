"""Natural search: the images of a pool that a model predicts to excite each unit most.

One pass over the pool keeps k images per unit, so that memory does not grow with the pool. The result does not depend
on how the pool is divided into batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr

from v4egg.device import device_of
from v4egg.errors import V4eggError
from v4egg.images.pool import Batch
from v4egg.images.processing import to_float
from v4egg.synthesis.mei import borrowed_all
from v4egg.synthesis.models import ResponseModel, unit_ids, validate_model

BATCH = 64  # images at once, where they are given as one array
ALIKE = 1e-4  # relative difference of two responses below which images are compared pixel by pixel


def search_natural_images(
    model: ResponseModel,
    units: Sequence[str | int],
    images: np.ndarray | Iterable[Batch],
    *,
    k: int,
    device: str | torch.device | None = None,
) -> xr.Dataset:
    """The ``k`` images with the highest predicted response for each unit, best first.

    An image that occurs twice counts once, and of two images with equal responses the earlier ranks higher.

    Args:
        model: as in :func:`v4egg.synthesize_mei`; it is left as it was. Of an ensemble, members are averaged.
        units: unit ids, or positions among the model's units.
        images: uint8 (n, c, y, x), or batches of them with the source of each image, such as
            :func:`v4egg.images.pool.pool_batches` gives; all images of one shape.
        k: images per unit.
        device: where to compute; None: where the model is.

    Returns:
        A dataset of kind ``natural``: ``image`` [unit, sample, channel, y, x] in [0, 1], ``response`` [unit, sample],
        ``source`` [unit, sample], ``position`` [unit, sample] among the images, and ``mean`` [unit] and ``sd`` [unit]
        of the response over all images (repeated ones included).

    Raises:
        V4eggError: the model cannot be used, there are fewer than k different images, no unit is given, or a response
            is not finite; names unit and image.

    Example:
        >>> import numpy as np, torch, v4egg
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
        >>> model = v4egg.wrap_model(network, 3, size=8, channels=1, mean=[0.5], std=[0.2])
        >>> images = np.random.default_rng(0).integers(0, 255, (20, 1, 8, 8), dtype=np.uint8)
        >>> found = v4egg.search_natural_images(model, [0, 2], images, k=4)
        >>> found["image"].shape, bool((found["response"][:, 0] >= found["response"][:, 1]).all())
        ((2, 4, 1, 8, 8), True)
    """
    names = unit_ids(model, units) if len(units) else []
    if not names:
        raise V4eggError("natural search: no unit is given; select targets first")
    validate_model(model, gradient=False)
    best, moments = [_Best(k) for _ in names], _Moments(len(names))
    with borrowed_all(model, {}, device) as (local_model, _):
        model_device = device_of(local_model)
        index = local_model.index(names).to(model_device)
        for batch, sources in _batches(images) if isinstance(images, np.ndarray) else images:
            with torch.no_grad():
                responses = local_model(to_float(batch).to(model_device), index).double().cpu().numpy()
            _check(responses, names, moments.n)
            for column, top in enumerate(best):
                top.offer(responses[:, column], batch, sources, moments.n)
            moments.add(responses)
    fewest = min(len(top.entries) for top in best)
    if fewest < k:
        raise V4eggError(f"natural search: the pool holds {fewest} different images, natural.k is {k}; lower it")
    return _dataset(names, best, moments)


def _batches(images: np.ndarray) -> Iterator[Batch]:
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        yield part, [""] * len(part)


@dataclass(frozen=True)
class _Entry:
    response: float
    position: int
    source: str
    image: np.ndarray


class _Best:
    """The k best images of one unit so far, best first."""

    def __init__(self, k: int):
        self.k = k
        self.entries: list[_Entry] = []

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

    def __post_init__(self) -> None:
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
    def table(name: str) -> list[list[Any]]:
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
