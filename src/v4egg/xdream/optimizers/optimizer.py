"""The interface of black-box optimizers: parallel searches, each with a population of codes and its own draws."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.registry import Options
from v4egg.seeding import numpy_generator

Key = tuple[object, ...]


class OptimizerOptions(Options):
    """Base of the options of optimizers; ``optimizer`` is the class that they configure."""

    optimizer: ClassVar[type["Optimizer"]]
    population: int = Field(20, ge=1, description="Images of a generation.")

    def settings_used(self) -> dict[str, Any]:
        """All settings of the optimizer by name."""
        return self.model_dump()

    def build(self, keys: Sequence[Key], size: int, initial: np.ndarray | None = None) -> "Optimizer":
        """The optimizer, one run for each key; see :class:`Optimizer` for the arguments."""
        return self.optimizer(keys, size, self.model_copy(update=self.settings_used()), initial)


class Optimizer(ABC):
    """A population of codes for each of R runs; a run is one search, such as for one neuron.

    Random draws are keyed by run, optimizer and generation, so that runs do not depend on one another and a state has
    no random generators.

    Args:
        keys: of the random draws, one per run.
        size: D, number of entries of a code.
        options: settings of the optimizer, among them P, codes per generation.
        initial: first codes (R, P, D) or (P, D); None for random ones.

    Attributes:
        codes: the current generation, float32 (R, P, D).
        generation: completed generations of each run (R,).

    Raises:
        V4eggError: the initial codes have another shape.
    """

    name = ""
    accepts_missing = False  # whether the next generation can be computed with missing scores
    arrays: tuple[str, ...] = ("codes", "generation")  # attributes that are the state
    options: OptimizerOptions

    def __init__(
        self, keys: Sequence[Key], size: int, options: OptimizerOptions, initial: np.ndarray | None = None
    ) -> None:
        self.keys, self.size, self.options, self.population = list(keys), size, options, options.population
        self.generation = np.zeros(len(self.keys), np.int64)
        self.codes = self._start() if initial is None else self._start_from(initial)

    def step(self, scores: np.ndarray, ready: np.ndarray) -> None:
        """Replace the codes of some runs by their next generation.

        Args:
            scores: (R, P), higher is better. NaN means missing, which only optimizers with ``accepts_missing`` get, and
                never for all codes of a run.
            ready: index array of these runs.
        """
        if not len(ready):
            return
        self._advance(scores, ready)
        self.generation[ready] += 1

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which :meth:`restore` continues exactly."""
        return {name: np.array(getattr(self, name)) for name in self.arrays}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from the state of an optimizer with the same settings."""
        for name in self.arrays:
            setattr(self, name, np.array(state[name]))

    @abstractmethod
    def _start(self) -> np.ndarray:
        """The first generation (R, P, D) where no codes are given."""

    @abstractmethod
    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        """Replace the codes of the ``ready`` runs by the next generation, given scores (R, P)."""

    def _draws(self, run: int, *what: object) -> np.random.Generator:
        return numpy_generator(*self.keys[run], self.name, *what, int(self.generation[run]))

    def _normal(self, runs: Sequence[int] | np.ndarray, *what: object, count: int | None = None) -> np.ndarray:
        """Standard normal codes (len(runs), count, D), by default a population."""
        shape = (self.population if count is None else count, self.size)
        codes = [self._draws(run, *what).standard_normal(shape, np.float32) for run in runs]
        return np.stack(codes) if codes else np.zeros((0, *shape), np.float32)

    def _start_from(self, initial: np.ndarray) -> np.ndarray:
        shape = (len(self.keys), self.population, self.size)
        if initial.shape not in (shape, shape[1:]):
            raise V4eggError(f"optimizer '{self.name}': initial codes of shape {initial.shape}; give {shape[1:]}")
        return np.array(np.broadcast_to(initial, shape), np.float32)


class CenteredSearch(Optimizer):
    """A search that presents codes about a centre, which is zero at first or the mean of the given codes."""

    center: np.ndarray
    center_dtype: type[np.floating[Any]] = np.float32

    def _start(self) -> np.ndarray:
        return self._around(np.zeros((len(self.keys), self.size), self.center_dtype))

    def _start_from(self, initial: np.ndarray) -> np.ndarray:
        return self._around(super()._start_from(initial).astype(self.center_dtype).mean(1))

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        self._move(scores[ready], ready)
        self.generation[ready] += 1  # the new codes are keyed by the next generation
        self.codes[ready] = self._next_codes(ready)
        self.generation[ready] -= 1

    @abstractmethod
    def _around(self, center: np.ndarray) -> np.ndarray:
        """The first generation (R, P, D) about centres (R, D)."""

    @abstractmethod
    def _move(self, scores: np.ndarray, ready: np.ndarray) -> None:
        """Move the centres of the ``ready`` runs, given their scores (run, P)."""

    @abstractmethod
    def _next_codes(self, ready: np.ndarray) -> np.ndarray:
        """New codes (run, P, D) of the ``ready`` runs about their centres."""


def standardized(scores: np.ndarray) -> np.ndarray:
    """Scores (R, P) z-scored within each run; 0 where all are equal.

    >>> standardized(np.array([[1.0, 3.0], [2.0, 2.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    sd = scores.std(1, keepdims=True)
    return (scores - scores.mean(1, keepdims=True)) / np.where(sd > 0, sd, 1)


def log_rank_weights(count: int, selected: int) -> np.ndarray:
    """Weights (count,) of ranked scores, best first, which sum to 1.

    They are proportional to log(selected + 1/2) - log(rank) for the first ``selected`` ranks, and 0 for the others
    (Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772, equation 49).

    >>> log_rank_weights(3, selected=2).round(2).tolist()
    [0.8, 0.2, 0.0]
    """
    weights = np.maximum(np.log(selected + 0.5) - np.log(np.arange(1, count + 1)), 0)
    weights[selected:] = 0
    return weights / weights.sum()


def ranked(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Values (R, P, D) sorted by decreasing scores (R, P)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(values, order[:, :, None], 1)
