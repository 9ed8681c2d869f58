"""Small untrained networks that tests share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from v4egg.encoders.encoder import Encoder
from v4egg.encoders.ensemble import Ensemble
from v4egg.priors.training import new_prior

ARCHITECTURE = {"core": {"name": "residual", "channels": 8, "blocks": 1}, "readout": {"name": "attention", "dim": 8}}


def small_encoder(units: Sequence[str], *, seed: int = 0, **spec: Any) -> Encoder:
    """An encoder of :data:`ARCHITECTURE` that sees colour images of 16 px; ``spec`` changes that."""
    torch.manual_seed(seed)
    seen = {"size": 16, "channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3, "output": "identity"}
    return Encoder(list(units), {**ARCHITECTURE, **seen, **spec}).eval().requires_grad_(False)


def small_ensemble(units: Sequence[str], *, seed: int = 1, **spec: Any) -> Ensemble:
    """An ensemble of one :func:`small_encoder`, with names."""
    member = small_encoder(units, seed=seed, **spec)
    member.arch, member.member, member.role = "a", "m0", "generator"
    return Ensemble([member])


def save_small_encoder(path: str | Path, units: Sequence[str], **spec: Any) -> str:
    """The store of a :func:`small_encoder` that is a generator of the architecture ``attention``."""
    small_encoder(units, **spec).save(path, arch="attention", member="m0", role="generator")
    return str(path)


def save_small_prior(path: str | Path) -> str:
    """The store of an untrained prior of colour images of 16 px."""
    torch.manual_seed(0)
    new_prior({"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1}).save(path)
    return str(path)
