"""Black-box optimizers by name: many searches side by side, codes out and scores in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from v4egg.registry import Entry, Registry, options_of

if TYPE_CHECKING:
    import numpy as np

    from v4egg.xdream.optimizers.optimizer import Key, Optimizer

OPTIMIZERS: Registry = {
    "genetic": Entry("v4egg.xdream.optimizers.genetic:GeneticOptions"),
    "finite_differences": Entry("v4egg.xdream.optimizers.estimated_gradients:FiniteDifferencesOptions"),
    "natural_evolution": Entry("v4egg.xdream.optimizers.estimated_gradients:NaturalEvolutionOptions"),
    "random_search": Entry("v4egg.xdream.optimizers.estimated_gradients:RandomSearchOptions"),
    "cma": Entry("v4egg.xdream.optimizers.covariance:FullCMAOptions", label="CMA"),
    "cma_diagonal": Entry("v4egg.xdream.optimizers.covariance:DiagonalCMAOptions", label="CMA, diagonal"),
    "sphere_cma": Entry("v4egg.xdream.optimizers.covariance:SphereCMAOptions", label="sphere CMA"),
}


def make_optimizer(
    name: str, keys: Sequence[Key], size: int, initial: np.ndarray | None = None, **options: Any
) -> Optimizer:
    """The optimizer of that name.

    Args:
        name: a name of :data:`OPTIMIZERS`.
        keys: what each run's draws are keyed by, such as (seed, method, unit, sample).
        size: genes of a code.
        initial: codes (P, D) or (R, P, D) to start from.
        options: of the optimizer; ``population``, and its own.

    Raises:
        V4eggError: no optimizer has that name, or an option is unknown or impossible.

    Example:
        >>> make_optimizer("genetic", [("run", 0)], size=8, population=4).codes.shape
        (1, 4, 8)
    """
    return options_of(OPTIMIZERS, name, options, "optimizer").build(keys, size, initial)


def settings_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that the optimizer would get, by name, defaults included.

    Example:
        >>> settings_of("finite_differences", {"radius": 2.0})
        {'population': 20, 'radius': 2.0, 'learning_rate': 1.25}
    """
    return options_of(OPTIMIZERS, name, options, "optimizer").settings_used()
