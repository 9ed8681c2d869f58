"""Random generators keyed by what is drawn, so that no result depends on batch, order or cores."""

import hashlib

import numpy as np


def seed_of(*key: object) -> int:
    """A 63-bit seed from any printable key, for example ``(seed, method, unit, sample)``."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*key: object) -> np.random.Generator:
    """A numpy generator of its own for this key."""
    return np.random.default_rng(seed_of(*key))


def torch_generator(*key: object):
    """A torch CPU generator of its own for this key: draws are made on the CPU on every device."""
    import torch

    return torch.Generator().manual_seed(seed_of(*key))
