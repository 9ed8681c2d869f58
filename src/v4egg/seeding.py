"""Random generators keyed by what is drawn, so that no result depends on batch sizes, order or the number of cores."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(*key: object) -> int:
    """Return the seed that belongs to a key.

    Args:
        key: parts with a stable ``str``, for example ``(seed, method, unit, sample)``.

    Returns:
        A whole number from 0 to 2^63 - 1, taken from the SHA-256 digest of the parts.

    Example:
        >>> seed_of(0, "gradient_ascent", "s1-u007", 2)
        2623001129677243615
        >>> seed_of(0, "ab", "c") == seed_of(0, "a", "bc")
        False
    """
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*key: object) -> np.random.Generator:
    """Return a new numpy generator seeded by :func:`seed_of`.

    Example:
        >>> first, second = numpy_generator(0, "noise"), numpy_generator(0, "noise")
        >>> bool(first.random() == second.random())
        True
    """
    return np.random.default_rng(seed_of(*key))


def torch_generator(*key: object) -> "torch.Generator":
    """Return a new torch CPU generator seeded by :func:`seed_of`.

    Numbers are always drawn on the CPU and then moved, so that every device sees the same ones.

    Example:
        >>> import torch
        >>> draws = [torch.rand(2, generator=torch_generator(0, "noise")) for _ in range(2)]
        >>> bool((draws[0] == draws[1]).all())
        True
    """
    import torch

    return torch.Generator().manual_seed(seed_of(*key))
