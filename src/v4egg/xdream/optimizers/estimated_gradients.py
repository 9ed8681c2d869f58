"""Optimizers that move one code along an estimate of its gradient, starting from zero, and random search.

Xiao & Kreiman, PLoS Comput Biol 2020, compare the genetic algorithm with both. Here their steps do not depend on the
scale of the scores: FDGD divides differences of scores by the generation's standard deviation, and NES uses ranks
(Wierstra et al., "Natural evolution strategies", JMLR 2014).
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from v4egg.xdream.optimizers.optimizer import CenteredSearch, Key, Optimizer, OptimizerOptions, ranked, standardized


class _GradientEstimator(CenteredSearch):
    """A search whose centre moves along the gradient that is estimated from the codes about it."""

    arrays = ("codes", "generation", "center", "directions", "radius")
    options: "FiniteDifferencesOptions | NaturalEvolutionOptions"

    def _around(self, center: np.ndarray) -> np.ndarray:
        self.center = center
        self.radius = np.full(len(center), self.options.radius)
        self.directions = self._random_directions(range(len(center)))
        return self._codes_of(slice(None))

    def _codes_of(self, runs: slice | np.ndarray) -> np.ndarray:
        offsets = self.radius[runs, None, None] * self.directions[runs]
        return (self.center[runs, None] + offsets).astype(np.float32)

    def _next_codes(self, ready: np.ndarray) -> np.ndarray:
        self.directions[ready] = self._random_directions(ready)
        return self._codes_of(ready)

    @abstractmethod
    def _random_directions(self, runs: Sequence[int] | np.ndarray) -> np.ndarray:
        """Random directions (run, P, D) from the centre to the codes, in units of the radius."""


class FiniteDifferences(_GradientEstimator):
    """Finite-difference gradient descent (FDGD): the gradient from differences over antithetic pairs."""

    name = "finite_differences"
    options: "FiniteDifferencesOptions"

    def _random_directions(self, runs: Sequence[int] | np.ndarray) -> np.ndarray:
        half = self._normal(runs, count=self.population // 2)
        return np.concatenate([half, -half], 1)

    def _move(self, scores: np.ndarray, ready: np.ndarray) -> None:
        gradient = np.einsum("rp,rpd->rd", standardized(scores), self.directions[ready]) / self.population
        self.center[ready] += self.options.learning_rate * self.radius[ready, None] * gradient


class FiniteDifferencesOptions(OptimizerOptions):
    """FDGD: a gradient from differences over antithetic pairs. Defaults are the published ones."""

    optimizer = FiniteDifferences
    population: int = Field(20, ge=2, multiple_of=2, description="Images of a generation, in pairs.")
    radius: float = Field(1.25, gt=0, description="Standard deviation of the genes of a sample about the point.")
    learning_rate: float = Field(1.25, gt=0, description="Factor of the step.")


class NaturalEvolution(_GradientEstimator):
    """Natural evolution strategy (NES) with one radius for all entries of a code."""

    name = "natural_evolution"
    options: "NaturalEvolutionOptions"

    def __init__(
        self, keys: Sequence[Key], size: int, options: "NaturalEvolutionOptions", initial: np.ndarray | None = None
    ) -> None:
        super().__init__(keys, size, options, initial)
        population = self.population
        raw = np.maximum(np.log(population / 2 + 1) - np.log(np.arange(1, population + 1)), 0)
        self.utilities = raw / max(raw.sum(), 1e-12) - 1 / population

    def _random_directions(self, runs: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._normal(runs)

    def _move(self, scores: np.ndarray, ready: np.ndarray) -> None:
        directions = ranked(self.directions[ready], scores)
        gradient = np.einsum("p,rpd->rd", self.utilities, directions)
        self.center[ready] += self.options.learning_rate * self.radius[ready, None] * gradient
        excess = np.square(directions).mean(2) - 1
        self.radius[ready] *= np.exp(self.options.radius_rate / 2 * (excess @ self.utilities))


class NaturalEvolutionOptions(OptimizerOptions):
    """NES: point and radius follow the natural gradient of the ranks. Defaults are the published ones."""

    optimizer = NaturalEvolution
    radius: float = Field(1.25, gt=0, description="First standard deviation of the genes of a sample about the point.")
    learning_rate: float = Field(1.75, gt=0, description="Factor of the step of the point.")
    radius_rate: float = Field(0.05, ge=0, description="Factor of the step of the radius.")


class RandomSearch(Optimizer):
    """Independent random codes, the baseline that a search should exceed at the same budget."""

    name = "random_search"
    accepts_missing = True
    options: "RandomSearchOptions"

    def _start(self) -> np.ndarray:
        return self.options.initial_sd * self._normal(range(len(self.keys)), "start")

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        fresh = self.options.initial_sd * self._normal(ready)
        missing = np.isnan(scores[ready])[:, :, None]
        self.codes[ready] = np.where(missing, self.codes[ready], fresh)


class RandomSearchOptions(OptimizerOptions):
    """Every code is drawn anew: what a search has to beat at an equal budget."""

    optimizer = RandomSearch
    initial_sd: float = Field(1.0, gt=0, description="Standard deviation of the genes.")
