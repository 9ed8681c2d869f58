"""CMA-ES with a full or a diagonal covariance, using the ``cma`` library, and Sphere-CMA.

Wang & Ponce, "High-performance evolutionary algorithms for online neuron control", GECCO 2022, compare these on codes
of image generators.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from v4egg.errors import V4eggError
from v4egg.registry import Numbers
from v4egg.xdream.optimizers.optimizer import (
    CenteredSearch,
    Key,
    Optimizer,
    OptimizerOptions,
    log_rank_weights,
    ranked,
)

FULL_LIMIT = 2048  # entries of a code: a full covariance takes 8 D^2 bytes per run and its factors D^3 operations


class DiagonalCMA(CenteredSearch):
    """CMA-ES with a diagonal covariance, which does as well on codes as a full one and is much cheaper.

    The state holds all scores so far; the library's own state is rebuilt from these.

    Raises:
        V4eggError: the package cma is not installed, or codes are too large for a full covariance.
    """

    name = "cma_diagonal"
    diagonal = True
    center_dtype = np.float64
    options: "DiagonalCMAOptions"

    def __init__(
        self, keys: Sequence[Key], size: int, options: "DiagonalCMAOptions", initial: np.ndarray | None = None
    ) -> None:
        self._scores: list[list[np.ndarray]] = [[] for _ in keys]
        self._n_draws = [0 for _ in keys]  # draws of the library in this generation
        self._solutions: list[Any] = [None for _ in keys]
        super().__init__(keys, size, options, initial)

    def state(self) -> dict[str, np.ndarray]:
        """All scores so far (R, generations, P), padded with NaN, the first centres and the generations."""
        longest = max((len(scores) for scores in self._scores), default=0)
        table = np.full((len(self.keys), longest, self.population), np.nan)
        for run, scores in enumerate(self._scores):
            if scores:
                table[run, : len(scores)] = scores
        return {"scores": table, "center": self.center, "generation": np.array(self.generation)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Rebuild the library's state by repeating all generations with their scores."""
        self.generation[:] = 0
        self._scores = [[] for _ in self.keys]
        self.codes = self._around(np.array(state["center"]))
        generations = np.asarray(state["generation"])
        for generation in range(int(generations.max(initial=0))):
            ready = np.flatnonzero(generations > generation)
            self.step(np.asarray(state["scores"])[:, generation], ready)

    def _around(self, center: np.ndarray) -> np.ndarray:
        self.center = center
        if not self.diagonal and self.size > FULL_LIMIT:
            raise V4eggError(
                f"optimizer '{self.name}': a full covariance of {self.size} entries is too large; use cma_diagonal"
            )
        self._strategies = [self._strategy(run) for run in range(len(self.keys))]
        return self._next_codes(np.arange(len(self.keys)))

    def _move(self, scores: np.ndarray, ready: np.ndarray) -> None:
        for run, of_run in zip(ready, scores, strict=True):
            self._strategies[run].tell(self._solutions[run], -of_run)
            self._scores[run].append(np.array(of_run, float))

    def _next_codes(self, ready: np.ndarray) -> np.ndarray:
        for run in ready:
            self._n_draws[run] = 0
            self._solutions[run] = self._strategies[run].ask()
        return np.array([self._solutions[run] for run in ready], np.float32)

    def _strategy(self, run: int) -> Any:
        cma = _library()
        options = {
            "popsize": self.population,
            "CMA_diagonal": self.diagonal,
            "CMA_mirrors": 0,
            "randn": lambda *shape: self._randn(run, shape),
            "seed": np.nan,  # leaves numpy's global generator unchanged
            "verbose": -9,
            "verb_log": 0,
        }
        return cma.CMAEvolutionStrategy(self.center[run], self.options.sigma, options)

    def _randn(self, run: int, shape: tuple[int, ...]) -> np.ndarray:
        self._n_draws[run] += 1  # part of the key, so that no draw repeats another
        return self._draws(run, self._n_draws[run]).standard_normal(shape)


class FullCMA(DiagonalCMA):
    """CMA-ES with a full covariance, for codes of a few hundred entries; see :class:`DiagonalCMA`."""

    name = "cma"
    diagonal = False


class DiagonalCMAOptions(OptimizerOptions):
    """CMA-ES with a diagonal covariance."""

    optimizer = DiagonalCMA
    population: int = Field(40, ge=2, description="Images of a generation.")
    sigma: float = Field(1.0, gt=0, description="First standard deviation of each gene.")


class FullCMAOptions(DiagonalCMAOptions):
    """CMA-ES with a full covariance, for codes of a few hundred genes."""

    optimizer = FullCMA


class SphereCMA(Optimizer):
    """A search on a sphere of codes with a decreasing angular step (Wang & Ponce 2022).

    They find that in these spaces the adaptation of the covariance matters little and the decrease of the step much.
    About a point x on the sphere, unit tangent vectors v are drawn and images of the codes cos(a) x + sin(a) norm v are
    presented, at an angle a from x. The tangent vectors of the best ``selected`` codes are averaged with the log-rank
    weights of CMA-ES, and x moves along the great circle of the average by ``learning_rate`` times a times its length.
    The first generation is uniform on the sphere and its weighted mean is the first x. The angle decreases
    exponentially from ``angles[0]`` to ``angles[1]`` degrees over ``decay`` generations, then stays. Default settings
    are the published ones; the steps follow the paper's description and have not been compared with its code.
    """

    name = "sphere_cma"
    arrays = ("codes", "generation", "center", "tangents")
    options: "SphereCMAOptions"

    def __init__(
        self, keys: Sequence[Key], size: int, options: "SphereCMAOptions", initial: np.ndarray | None = None
    ) -> None:
        self.norm = size**0.5 if options.norm is None else options.norm
        self.weights = log_rank_weights(options.population, options.selected).astype(np.float32)
        super().__init__(keys, size, options, initial)
        self.center = np.zeros((len(self.keys), size), np.float32)
        self.tangents = np.zeros_like(self.codes)

    def angle(self, generation: np.ndarray) -> np.ndarray:
        """The angle in radians of the codes of a generation about x; the first such generation is number 1."""
        start, end = np.deg2rad(self.options.angles)
        return start * (end / start) ** np.clip((np.asarray(generation) - 1) / max(self.options.decay - 1, 1), 0, 1)

    def _start(self) -> np.ndarray:
        return self.norm * unit(self._normal(range(len(self.keys)), "start"))

    def _start_from(self, initial: np.ndarray) -> np.ndarray:
        return self.norm * unit(super()._start_from(initial))

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        generation = self.generation[ready]
        mean = np.einsum("p,rpd->rd", self.weights, ranked(self.codes[ready], scores[ready]))
        tangent = np.einsum("p,rpd->rd", self.weights, ranked(self.tangents[ready], scores[ready]))
        step = (
            self.options.learning_rate
            * self.angle(generation)[:, None]
            * np.linalg.norm(tangent, axis=1, keepdims=True)
        )
        moved = np.cos(step) * self.center[ready] + np.sin(step) * unit(tangent)
        center = np.where(generation[:, None] == 0, unit(mean), unit(moved)).astype(np.float32)
        directions = self._normal(ready)
        directions -= np.einsum("rpd,rd->rp", directions, center)[:, :, None] * center[:, None]
        tangents = unit(directions)
        angle = self.angle(generation + 1)[:, None, None]
        self.center[ready], self.tangents[ready] = center, tangents
        self.codes[ready] = self.norm * (np.cos(angle) * center[:, None] + np.sin(angle) * tangents)


class SphereCMAOptions(OptimizerOptions):
    """A search on the sphere of codes of one norm, with an angular step that falls."""

    optimizer = SphereCMA
    population: int = Field(40, ge=1, description="Images of a generation.")
    norm: float | None = Field(None, gt=0, description="L2 norm of the codes; null: that of standard normal codes.")
    selected: int = Field(20, ge=1, description="Best images that are averaged; at most the population.")
    learning_rate: float = Field(1.5, gt=0, description="Factor of the step along the great circle.")
    angles: Numbers = Field((50.0, 7.33), min_length=2, max_length=2, description="First and last angle in degrees.")
    decay: int = Field(75, ge=1, description="Generations over which the angle falls.")

    @model_validator(mode="after")
    def _selected_of_population(self) -> Self:
        if self.selected > self.population:
            raise ValueError(f"selected is {self.selected}; give 1 to the population, {self.population}")
        return self


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors along the last axis scaled to length 1; zero vectors stay.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _library() -> ModuleType:
    try:
        import cma
    except ImportError:
        raise V4eggError("optimizers cma and cma_diagonal need the package cma; run pip install cma") from None
    return cma
