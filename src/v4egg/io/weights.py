"""Weights in files that users provide: torch or safetensors; only tensors are unpickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from v4egg.errors import V4eggError


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a file of weights.

    Args:
        path: a ``.safetensors`` file, or a file that :func:`torch.save` wrote.

    Returns:
        Tensors by name; or mappings of such if the training program nested them.

    Raises:
        V4eggError: there is no such file, it is damaged, or it contains anything else.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "weights.pt"
        >>> torch.save({"bias": torch.ones(2)}, path)
        >>> read_weights(path)
        {'bias': tensor([1., 1.])}
    """
    path = Path(path)
    if not path.is_file():
        raise V4eggError(f"{path}: no such file of weights; correct the path or download it")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of both formats raise almost anything on a damaged file
        raise V4eggError(f"{path}: unreadable weights, not a file of plain tensors; download it again") from error
    if not isinstance(state, Mapping):
        raise V4eggError(f"{path}: contains no state dict (tensors by name); give the weights alone")
    return dict(state)
