"""What every black-box optimizer is: many searches side by side, each a population of codes and draws of its own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.registry import Options
from v4egg.seeding import numpy_generator

Key = tuple[object, ...]


class Optimizer(ABC):
    """A population of codes for each of R runs; a run is one search, such as for one neuron.

    Draws are keyed by run, optimizer and generation and by nothing else: a run does not depend on its neighbours, and a
    restored state needs no state of a random generator.

    Attributes:
        codes: (R, P, D) float32, the current generation.
        generation: (R,), generations completed.
    """

    name = ""
    accepts_missing = False  # whether a generation with missing scores can be followed by another
    arrays: tuple[str, ...] = ("codes", "generation")  # attributes that are the state
    slots = 1  # populations are multiples of this

    def __init__(self, keys: Sequence[Key], size: int, population: int, initial: np.ndarray | None = None):
        """``size`` is D; ``initial`` codes (R, P, D) or (P, D) replace those that the optimizer would draw.

        Raises:
            V4eggError: the population is impossible, or initial codes do not fit.
        """
        if population < 1 or population % self.slots:
            need = f"a multiple of {self.slots}" if self.slots > 1 else "1 or more"
            raise V4eggError(f"optimizer '{self.name}': population is {population}; give {need}")
        self.keys, self.size, self.population = list(keys), size, population
        self.generation = np.zeros(len(self.keys), np.int64)
        self.codes = self._start() if initial is None else self._given(initial)

    def step(self, scores: np.ndarray, ready: np.ndarray) -> None:
        """Put the next generation in the place of the current one, in the runs of ``ready``.

        Args:
            scores: (R, P), higher is better. NaN: missing; only optimizers with ``accepts_missing`` get any, and those
                at least one score that is there.
            ready: index array of runs.
        """
        if not len(ready):
            return
        self._advance(scores, ready)
        self.generation[ready] += 1

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which :meth:`restore` goes on exactly."""
        return {name: np.array(getattr(self, name)) for name in self.arrays}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state of an optimizer of the same settings."""
        for name in self.arrays:
            setattr(self, name, np.array(state[name]))

    @abstractmethod
    def _start(self) -> np.ndarray:
        """The first generation (R, P, D)."""

    @abstractmethod
    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        """Replace the codes of the ``ready`` runs by the next generation, from scores (R, P)."""

    def _draws(self, run: int, *what: object) -> np.random.Generator:
        return numpy_generator(*self.keys[run], self.name, *what, int(self.generation[run]))

    def _normal(self, runs: Sequence[int], *what: object, count: int | None = None) -> np.ndarray:
        """Standard normal codes (len(runs), count, D), by default a population."""
        shape = (self.population if count is None else count, self.size)
        found = [self._draws(run, *what).standard_normal(shape, np.float32) for run in runs]
        return np.stack(found) if found else np.zeros((0, *shape), np.float32)

    def _given(self, initial: np.ndarray) -> np.ndarray:
        shape = (len(self.keys), self.population, self.size)
        if initial.shape not in (shape, shape[1:]):
            raise V4eggError(f"optimizer '{self.name}': initial codes of shape {initial.shape}; give {shape[1:]}")
        return np.array(np.broadcast_to(initial, shape), np.float32)


class OptimizerOptions(Options):
    """Options that every optimizer has; ``optimizer`` is the class that a subclass configures."""

    optimizer: ClassVar[type[Optimizer]]
    population: int = Field(20, ge=1, description="Images of a generation.")

    def settings_used(self) -> dict[str, Any]:
        """All settings of the optimizer by name."""
        return self.model_dump()

    def build(self, keys: Sequence[Key], size: int, initial: np.ndarray | None = None) -> Optimizer:
        """The optimizer, one run for each key; see :class:`Optimizer` for the arguments."""
        return self.optimizer(keys, size, initial=initial, **self.settings_used())


def standardized(scores: np.ndarray) -> np.ndarray:
    """Scores (R, P) less their mean over their standard deviation, by run; 0 where all are equal."""
    spread = scores.std(1, keepdims=True)
    return (scores - scores.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1)


def log_rank_weights(count: int, selected: int) -> np.ndarray:
    """Weights (count,) of ranked scores, best first: log(selected + 1/2) - log(rank), summing to 1, then 0.

    Hansen, "The CMA evolution strategy: a tutorial" (2016), equation 49.
    """
    weights = np.maximum(np.log(selected + 0.5) - np.log(np.arange(1, count + 1)), 0)
    weights[selected:] = 0
    return weights / weights.sum()


def ranked(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Values (R, P, D) in the order of falling scores (R, P)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(values, order[:, :, None], 1)
