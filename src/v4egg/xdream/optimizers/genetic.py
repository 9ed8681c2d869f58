"""XDream's genetic algorithm (Xiao & Kreiman, PLoS Comput Biol 2020)."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from v4egg.xdream.optimizers.optimizer import Optimizer, OptimizerOptions

CLIP = 95  # percentile at which scores are clipped for selection
COLDEST = 1e-8  # lowest temperature of selection, in case all scores are equal

# Published settings by layer of DeePSiM's generator, found by grid search.
_NAMES = ("population", "mutation_rate", "mutation_size", "selectivity", "heritability")
_PUBLISHED = {
    "fc6": (20, 0.5, 0.5, 2.0, 0.5),
    "fc7": (45, 0.6, 0.3, 1.25, 0.5),
    "fc8": (20, 0.2, 0.6, 2.0, 0.5),
    "pool5": (10, 0.6, 1.0, 2.5, 0.75),
    "conv4": (10, 0.9, 0.75, 2.5, 0.5),
    "conv3": (12, 0.65, 0.75, 2.25, 0.5),
    "norm1": (15, 1.0, 1.5, 2.0, 0.5),
    "norm2": (10, 0.5, 0.7, 4.0, 0.5),
}
SETTINGS = {layer: {**dict(zip(_NAMES, row, strict=True)), "n_conserve": 0} for layer, row in _PUBLISHED.items()}


class Genetic(Optimizer):
    """XDream's genetic algorithm.

    Parents are chosen with probabilities proportional to exp(score / temperature); each gene (entry of a code) comes
    from one of two parents and is then mutated. Defaults are those published for fc6.

    Example:
        >>> optimizer = GeneticOptions(population=4).build([("unit", 0)], size=8)
        >>> optimizer.step(np.array([[1.0, 3.0, 2.0, 0.0]]), ready=np.array([0]))
        >>> optimizer.codes.shape, optimizer.generation.tolist()
        ((1, 4, 8), [1])
    """

    name = "genetic"
    accepts_missing = True
    options: "GeneticOptions"

    def _start(self) -> np.ndarray:
        return self.options.initial_sd * self._normal(range(len(self.keys)), "start")

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        scores, old = scores[ready], self.codes[ready]
        fitness = self.fitness(scores)
        new = np.stack(
            [self._children(codes, f, self._draws(run)) for codes, f, run in zip(old, fitness, ready, strict=True)]
        )
        for codes, score, elite in zip(new, scores, old, strict=True):
            missing = np.flatnonzero(np.isnan(score))
            codes[self.population - len(missing) :] = elite[missing]  # presented again unchanged
            elites = np.argsort(-score, kind="stable")[: min(self.options.n_conserve, self.population - len(missing))]
            codes[: len(elites)] = elite[elites]
        self.codes[ready] = new

    def fitness(self, scores: np.ndarray) -> np.ndarray:
        """Relative probability of each code to be a parent (R, P), 1 for the best and 0 for missing scores (R, P)."""
        temperature = np.maximum(np.nanstd(scores, 1, keepdims=True) / self.options.selectivity, COLDEST)
        clipped = np.minimum(scores, np.nanpercentile(scores, CLIP, 1, keepdims=True))
        best = np.nanmax(clipped, 1, keepdims=True)
        return np.where(np.isnan(scores), 0, np.exp((clipped - best) / temperature))

    def _children(self, codes: np.ndarray, fitness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The next population (P, D) of one run."""
        cumulative = np.cumsum(fitness)
        first, second = np.searchsorted(cumulative, rng.random((2, self.population)) * cumulative[-1], side="right")
        inherited = rng.random(codes.shape, np.float32) < self.options.heritability
        children = np.where(inherited, codes[first], codes[second])
        mutated = rng.random(codes.shape, np.float32) < self.options.mutation_rate
        changes = rng.standard_normal(np.count_nonzero(mutated), np.float32)
        children[mutated] += self.options.mutation_size * changes
        return children


class GeneticOptions(OptimizerOptions):
    """XDream's genetic algorithm; defaults are those published for fc6."""

    optimizer = Genetic
    settings: Literal["fc6", "fc7", "fc8", "pool5", "conv4", "conv3", "norm1", "norm2"] | None = Field(
        None, description="Published settings by layer of DeePSiM's generator, in the place of the defaults."
    )
    mutation_rate: float = Field(0.5, ge=0, le=1, description="Probability that a gene changes.")
    mutation_size: float = Field(0.5, ge=0, description="Standard deviation of such a change.")
    selectivity: float = Field(
        2.0, gt=0, description="Standard deviation of the scores over the temperature of selection; higher is choosier."
    )
    heritability: float = Field(0.5, ge=0, le=1, description="Probability that a gene comes from the first parent.")
    n_conserve: int = Field(0, ge=0, description="Best codes that are shown again unchanged.")
    initial_sd: float = Field(1.0, gt=0, description="Standard deviation of the genes of the first generation.")

    def settings_used(self) -> dict[str, Any]:
        """Defaults, over which the published row is laid, and over that what was given."""
        options = self.model_dump(exclude={"settings"})
        given = {name: options[name] for name in self.model_fields_set if name in options}
        return {**options, **SETTINGS.get(self.settings or "", {}), **given}
