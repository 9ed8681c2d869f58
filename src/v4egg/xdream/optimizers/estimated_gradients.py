"""Optimizers that walk one point along an estimate of its gradient, from the zero code on, and random search.

Xiao & Kreiman 2020 compare the genetic algorithm with both walkers. Their step is made free of the neuron's unit here:
FDGD divides score differences by the generation's standard deviation, and NES uses ranks (Wierstra et al., JMLR 2014).
"""

from abc import abstractmethod

import numpy as np
from pydantic import Field

from v4egg.xdream.optimizers.optimizer import Optimizer, OptimizerOptions, ranked, standardized


class _Walker(Optimizer):
    arrays = ("codes", "generation", "center", "directions", "radius")

    def __init__(self, keys, size, population, initial, *, radius, learning_rate):
        self.start_radius, self.learning_rate = radius, learning_rate
        super().__init__(keys, size, population, initial)

    def _start(self) -> np.ndarray:
        return self._around(np.zeros((len(self.keys), self.size), np.float32))

    def _given(self, initial: np.ndarray) -> np.ndarray:
        return self._around(super()._given(initial).mean(1))  # the walk starts in the middle of the codes given

    def _around(self, center: np.ndarray) -> np.ndarray:
        self.center = center
        self.radius = np.full(len(center), self.start_radius)
        self.directions = self._drawn(range(len(center)))
        return self._placed(slice(None))

    def _placed(self, runs) -> np.ndarray:
        offsets = self.radius[runs, None, None] * self.directions[runs]
        return (self.center[runs, None] + offsets).astype(np.float32)

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        self._walk(scores[ready], ready)
        self.generation[ready] += 1  # the next directions are the next generation's
        self.directions[ready] = self._drawn(ready)
        self.generation[ready] -= 1
        self.codes[ready] = self._placed(ready)

    @abstractmethod
    def _drawn(self, runs) -> np.ndarray:
        """Directions (run, P, D) in which images are shown about the point."""

    @abstractmethod
    def _walk(self, scores: np.ndarray, ready: np.ndarray) -> None:
        """Move the points of the ``ready`` runs, from their scores (run, P)."""


class FiniteDifferences(_Walker):
    """FDGD: the gradient from differences over antithetic pairs; published settings by default.

    ``radius`` is the standard deviation of a sample's genes about the point, ``learning_rate`` scales the step.
    """

    name = "finite_differences"
    slots = 2

    def __init__(self, keys, size, population=20, initial=None, *, radius=1.25, learning_rate=1.25):
        super().__init__(keys, size, population, initial, radius=radius, learning_rate=learning_rate)

    def _drawn(self, runs) -> np.ndarray:
        half = self._normal(runs, count=self.population // 2)
        return np.concatenate([half, -half], 1)

    def _walk(self, scores: np.ndarray, ready: np.ndarray) -> None:
        gradient = np.einsum("rp,rpd->rd", standardized(scores), self.directions[ready]) / self.population
        self.center[ready] += self.learning_rate * self.radius[ready, None] * gradient


class FiniteDifferencesOptions(OptimizerOptions):
    """FDGD: a gradient from differences over antithetic pairs."""

    optimizer = FiniteDifferences
    population: int = Field(20, ge=2, multiple_of=2, description="Images of a generation, in pairs.")
    radius: float = Field(1.25, gt=0, description="Standard deviation of the genes of a sample about the point.")
    learning_rate: float = Field(1.25, gt=0, description="Factor of the step.")


class NaturalEvolution(_Walker):
    """NES with one radius for all genes: point and radius follow the natural gradient; published settings."""

    name = "natural_evolution"

    def __init__(self, keys, size, population=20, initial=None, *, radius=1.25, learning_rate=1.75, radius_rate=0.05):
        self.radius_rate = radius_rate
        super().__init__(keys, size, population, initial, radius=radius, learning_rate=learning_rate)
        raw = np.maximum(np.log(population / 2 + 1) - np.log(np.arange(1, population + 1)), 0)
        self.utilities = raw / max(raw.sum(), 1e-12) - 1 / population

    def _drawn(self, runs) -> np.ndarray:
        return self._normal(runs)

    def _walk(self, scores: np.ndarray, ready: np.ndarray) -> None:
        directions = ranked(self.directions[ready], scores)
        gradient = np.einsum("p,rpd->rd", self.utilities, directions)
        self.center[ready] += self.learning_rate * self.radius[ready, None] * gradient
        excess = np.square(directions).mean(2) - 1
        self.radius[ready] *= np.exp(self.radius_rate / 2 * (excess @ self.utilities))


class NaturalEvolutionOptions(OptimizerOptions):
    """NES: point and radius follow the natural gradient of the ranks."""

    optimizer = NaturalEvolution
    radius: float = Field(1.25, gt=0, description="First standard deviation of the genes of a sample about the point.")
    learning_rate: float = Field(1.75, gt=0, description="Factor of the step of the point.")
    radius_rate: float = Field(0.05, ge=0, description="Factor of the step of the radius.")


class RandomSearch(Optimizer):
    """Every code is drawn afresh: what a search has to beat at an equal budget."""

    name = "random_search"
    accepts_missing = True

    def __init__(self, keys, size, population=20, initial=None, *, initial_sd=1.0):
        self.initial_sd = initial_sd
        super().__init__(keys, size, population, initial)

    def _start(self) -> np.ndarray:
        return self.initial_sd * self._normal(range(len(self.keys)), "start")

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        fresh = self.initial_sd * self._normal(ready)
        missing = np.isnan(scores[ready])[:, :, None]
        self.codes[ready] = np.where(missing, self.codes[ready], fresh)


class RandomSearchOptions(OptimizerOptions):
    """Every code is drawn anew: what a search has to beat at an equal budget."""

    optimizer = RandomSearch
    initial_sd: float = Field(1.0, gt=0, description="Standard deviation of the genes.")
