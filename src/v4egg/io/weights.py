"""Weights that users bring as files: torch or safetensors, nothing unpickled but tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from v4egg.errors import V4eggError


def read_weights(path: str | Path) -> dict[str, Any]:
    """What a file of weights holds: tensors by name, or mappings of such where a training program wrapped them.

    Raises:
        V4eggError: there is no such file, it is damaged, or it holds something else than tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise V4eggError(f"{path}: no such file of weights; correct the path or download it")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of both formats raise almost anything on a damaged file
        raise V4eggError(f"{path}: unreadable weights, not a file of plain tensors; download it again") from error
    if not isinstance(state, Mapping):
        raise V4eggError(f"{path}: holds no state dict (tensors by name); give the weights alone")
    return dict(state)
