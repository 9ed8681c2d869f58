"""CMA-ES of the ``cma`` library, with a full or a diagonal covariance, and Sphere-CMA."""

from collections.abc import Callable

import numpy as np
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.registry import Numbers
from v4egg.xdream.optimizers.optimizer import Optimizer, OptimizerOptions, log_rank_weights, ranked

FULL_LIMIT = 2048  # genes: a full covariance takes 8 D^2 bytes a run and its factors D^3 operations


class DiagonalCMA(Optimizer):
    """CMA-ES with a diagonal covariance: as good on codes as the full one and far cheaper (Wang & Ponce 2022).

    The state is the scores told so far: the library's own state is rebuilt by telling it them again.

    ``sigma`` is the first standard deviation of each gene (published for fc6 codes of norm 300: 2 to 3).
    """

    name = "cma_diagonal"
    diagonal = True

    def __init__(self, keys, size, population=40, initial=None, *, sigma=1.0):
        self.sigma = sigma
        self.told: list[list[np.ndarray]] = [[] for _ in keys]
        self._drawn = [0 for _ in keys]  # times the library has drawn for this generation
        self._solutions = [None for _ in keys]
        super().__init__(keys, size, population, initial)

    def state(self) -> dict[str, np.ndarray]:
        """The scores told (R, generations, P), NaN-padded."""
        longest = max((len(told) for told in self.told), default=0)
        told = np.full((len(self.keys), longest, self.population), np.nan)
        for run, scores in enumerate(self.told):
            if scores:
                told[run, : len(scores)] = scores
        return {"told": told, "center": self.center, "generation": np.array(self.generation)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Tell the library again what it has been told."""
        self.generation[:] = 0
        self.told = [[] for _ in self.keys]
        self.codes = self._around(np.array(state["center"]))
        wanted = np.asarray(state["generation"])
        for generation in range(int(wanted.max(initial=0))):
            ready = np.flatnonzero(wanted > generation)
            self.step(np.asarray(state["told"])[:, generation], ready)

    def _start(self) -> np.ndarray:
        return self._around(np.zeros((len(self.keys), self.size)))

    def _given(self, initial: np.ndarray) -> np.ndarray:
        return self._around(super()._given(initial).astype(float).mean(1))

    def _around(self, center: np.ndarray) -> np.ndarray:
        self.center = center
        if not self.diagonal and self.size > FULL_LIMIT:
            raise V4eggError(
                f"optimizer '{self.name}': a full covariance of {self.size} genes is too large; use cma_diagonal"
            )
        self._strategies = [self._strategy(run) for run in range(len(self.keys))]
        return np.stack([self._asked(run) for run in range(len(self.keys))])

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        for run in ready:
            self._strategies[run].tell(self._solutions[run], -scores[run])
            self.told[run].append(np.array(scores[run], float))
            self.generation[run] += 1  # the next codes are the next generation's
            self.codes[run] = self._asked(run)
            self.generation[run] -= 1

    def _strategy(self, run: int):
        cma = _library()
        options = {
            "popsize": self.population,
            "CMA_diagonal": self.diagonal,
            "CMA_mirrors": 0,
            "randn": lambda *shape: self._randn(run, shape),
            "seed": np.nan,  # numpy's global generator is left alone
            "verbose": -9,
            "verb_log": 0,
        }
        return cma.CMAEvolutionStrategy(self.center[run], self.sigma, options)

    def _asked(self, run: int) -> np.ndarray:
        self._drawn[run] = 0
        self._solutions[run] = self._strategies[run].ask()
        return np.asarray(self._solutions[run], np.float32)

    def _randn(self, run: int, shape: tuple[int, ...]) -> np.ndarray:
        self._drawn[run] += 1  # no draw repeats another
        return self._draws(run, self._drawn[run]).standard_normal(shape)


class FullCMA(DiagonalCMA):
    """CMA-ES with a full covariance, for codes of a few hundred genes."""

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
    """A search on the sphere of codes of one norm, with a step that shrinks as a schedule says (Wang & Ponce 2022).

    Their finding is that covariance adaptation does little in these spaces and a falling angular step does much. From
    the point x on the sphere, tangent vectors v of unit length are drawn and images are shown at the angle a from x:
    cos(a) x + sin(a) norm v. The best ``selected`` are averaged with the log-rank weights of CMA-ES, and x moves along
    the great circle of the average tangent vector by ``learning_rate`` times a times its length. The first generation
    is drawn all over the sphere and its weighted mean is the first x. The angle falls exponentially from ``angles[0]``
    to ``angles[1]`` degrees over ``decay`` generations and then stays. Settings are the published ones; the steps are
    written from their description and the geometry of the sphere, not checked against their code.

    ``norm`` is the codes' L2 norm (published for fc6: 300); None is that of standard normal codes, sqrt(D).
    """

    name = "sphere_cma"
    arrays = ("codes", "generation", "center", "tangents")

    def __init__(
        self,
        keys,
        size,
        population=40,
        initial=None,
        *,
        norm=None,
        selected=20,
        learning_rate=1.5,
        angles=(50.0, 7.33),
        decay=75,
    ):
        if not 1 <= selected <= population:
            raise V4eggError(f"optimizer 'sphere_cma': selected is {selected}; give 1 to the population, {population}")
        self.norm = size**0.5 if norm is None else norm
        self.learning_rate, self.angles, self.decay = learning_rate, np.deg2rad(angles), decay
        self.weights = log_rank_weights(population, selected).astype(np.float32)
        super().__init__(keys, size, population, initial)
        self.center = np.zeros((len(self.keys), size), np.float32)
        self.tangents = np.zeros_like(self.codes)

    def angle(self, generation: np.ndarray) -> np.ndarray:
        """The angle in radians at which a generation is shown about its point; the first such is 1."""
        start, end = self.angles
        return start * (end / start) ** np.clip((np.asarray(generation) - 1) / max(self.decay - 1, 1), 0, 1)

    def _start(self) -> np.ndarray:
        return self.norm * unit(self._normal(range(len(self.keys)), "start"))

    def _given(self, initial: np.ndarray) -> np.ndarray:
        return self.norm * unit(super()._given(initial))

    def _advance(self, scores: np.ndarray, ready: np.ndarray) -> None:
        generation = self.generation[ready]
        mean = np.einsum("p,rpd->rd", self.weights, ranked(self.codes[ready], scores[ready]))
        tangent = np.einsum("p,rpd->rd", self.weights, ranked(self.tangents[ready], scores[ready]))
        step = self.learning_rate * self.angle(generation)[:, None] * np.linalg.norm(tangent, axis=1, keepdims=True)
        moved = np.cos(step) * self.center[ready] + np.sin(step) * unit(tangent)
        center = np.where(generation[:, None] == 0, unit(mean), unit(moved)).astype(np.float32)
        drawn = self._normal(ready)
        drawn -= np.einsum("rpd,rd->rp", drawn, center)[:, :, None] * center[:, None]
        tangents = unit(drawn)
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


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors along the last axis brought to length 1; zero ones stay."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _library() -> Callable:
    try:
        import cma
    except ImportError:
        raise V4eggError("optimizers cma and cma_diagonal need the package cma; run pip install cma") from None
    return cma
