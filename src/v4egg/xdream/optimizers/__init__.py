"""Black-box optimizers by name: many searches side by side, codes out and scores in."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from v4egg.errors import V4eggError
from v4egg.xdream.optimizers.covariance import DiagonalCMA, FullCMA, SphereCMA
from v4egg.xdream.optimizers.estimated_gradients import FiniteDifferences, NaturalEvolution, RandomSearch
from v4egg.xdream.optimizers.genetic import SETTINGS, Genetic
from v4egg.xdream.optimizers.optimizer import Key, Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {
    each.name: each
    for each in (Genetic, FiniteDifferences, NaturalEvolution, RandomSearch, FullCMA, DiagonalCMA, SphereCMA)
}


def make_optimizer(
    name: str, keys: Sequence[Key], size: int, initial: np.ndarray | None = None, **options: Any
) -> Optimizer:
    """The optimizer of that name.

    Args:
        keys: what each run's draws are keyed by, such as (seed, method, unit, sample).
        size: genes of a code.
        initial: codes (P, D) or (R, P, D) to start from.
        options: of the optimizer; ``population``, and its own. ``settings`` names a row of
            :data:`~v4egg.xdream.optimizers.genetic.SETTINGS`, over which other options are laid.

    Raises:
        V4eggError: no optimizer or settings have that name, or the optimizer does not take an option.
    """
    if name not in OPTIMIZERS:
        raise V4eggError(f"evolution: unknown optimizer '{name}'; known: {', '.join(sorted(OPTIMIZERS))}")
    options = _with_row(options)
    try:
        return OPTIMIZERS[name](keys, size, initial=initial, **options)
    except TypeError as error:
        raise V4eggError(f"evolution: optimizer '{name}': {error}; correct its options") from error


def settings_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that the optimizer would get, by name: defaults, then a published row, then own ones."""
    parameters = inspect.signature(OPTIMIZERS[name]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "initial"}
    return {**defaults, **_with_row(options)}


def _with_row(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options laid over the published row that they may name under ``settings``."""
    own = {key: value for key, value in options.items() if key != "settings"}
    row = options.get("settings")
    if row is not None and row not in SETTINGS:
        raise V4eggError(f"evolution: unknown settings '{row}'; known: {', '.join(sorted(SETTINGS))}")
    return {**SETTINGS.get(row, {}), **own}


__all__ = ["OPTIMIZERS", "SETTINGS", "Key", "Optimizer", "make_optimizer", "settings_of"]
