"""Stores of compact models: the networks of a session's units at each stage of distillation.

The classes are those of :mod:`v4egg.compact.network`, which the published models are loaded as too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.compact.network import CompactModels, CompactNetwork, map_size, parameters_of, tensor_shapes
from v4egg.errors import V4eggError
from v4egg.io import stores

__all__ = ["LAYERS", "STAGES", "CompactModels", "CompactNetwork", "load_compact_models", "networks_dataset"]

STAGES = ("distilled", "pruned", "retrained")
LAYERS = 5


def networks_dataset(
    networks: Mapping[str, Sequence[CompactNetwork]], units: Sequence[str], size: int, strides: Sequence[int]
) -> xr.Dataset:
    """The networks as the part of a ``compact`` store that :func:`load_compact_models` reads.

    Args:
        networks: stage -> one network per unit, all for images of ``size`` x ``size`` pixels and with these strides.
        units: unit ids.
        size: side of the images in pixels.
        strides: of the separable layers.

    Returns:
        ``filters`` (stage, unit, layer), int64, and ``parameter`` (parameter,), float32: the parameters of all networks
        one after another.
    """
    filters = [[network.widths for network in networks[stage]] for stage in STAGES]
    shapes = tensor_shapes((1,) * LAYERS, 1)
    flat = [
        network.get_buffer(name).contiguous().flatten()
        for stage in STAGES
        for network in networks[stage]
        for name in shapes
    ]
    variables = {
        "filters": (("stage", "unit", "layer"), np.asarray(filters, np.int64)),
        "parameter": ("parameter", torch.cat(flat).cpu().numpy()),
    }
    attrs = {"size": int(size), "strides": [int(stride) for stride in strides]}
    return xr.Dataset(variables, {"stage": list(STAGES), "unit": list(units)}, attrs)


def load_compact_models(store_path: str | Path, stage: str = "retrained") -> CompactModels:
    """Load the compact models of a session from ``compact/<session>.zarr``, frozen.

    Args:
        store_path: the store.
        stage: ``distilled`` (before pruning), ``pruned`` (rebuilt from the remaining filters) or ``retrained``.

    Raises:
        V4eggError: there is no such store, or no such stage.

    Example:
        >>> import tempfile
        >>> from v4egg.compact.network import STRIDES, CompactNetwork, map_size, tensor_shapes
        >>> shapes = tensor_shapes((4, 4, 3, 3, 3), map_size(8))
        >>> network = CompactNetwork({name: torch.ones(shape) for name, shape in shapes.items()})
        >>> dataset = networks_dataset({stage: [network] for stage in STAGES}, ["s1-u000"], size=8, strides=STRIDES)
        >>> path = Path(tempfile.mkdtemp()) / "s1.zarr"
        >>> stores.save(dataset, path, "compact")
        >>> load_compact_models(path)(torch.rand(5, 3, 8, 8)).shape
        torch.Size([5, 1])
    """
    store = stores.load(store_path, "compact")
    stages = [str(name) for name in store["stage"].values]
    if stage not in stages:
        raise V4eggError(f"{store_path}: no stage '{stage}' of compact models; there are {', '.join(stages)}")
    units = [str(unit) for unit in store["unit"].values]
    size, strides = int(store.attrs["size"]), [int(stride) for stride in store.attrs["strides"]]
    side = map_size(size, strides)
    rows = store["filters"].values.reshape(-1, LAYERS).tolist()
    layouts = [tensor_shapes(row, side) for row in rows]
    sizes = [parameters_of(row, side) for row in rows]
    first = stages.index(stage) * len(units)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    flat = torch.from_numpy(store["parameter"].values.copy())
    of_stage = range(first, first + len(units))
    networks = [CompactNetwork(_tensors(flat[starts[i] :], layouts[i]), strides) for i in of_stage]
    return CompactModels(networks, units, size).eval()


def _tensors(flat: Tensor, layout: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors that are stored one after another at the start of ``flat``."""
    tensors, start = {}, 0
    for name, shape in layout.items():
        length = int(np.prod(shape, dtype=int))
        tensors[name] = flat[start : start + length].reshape(shape)
        start += length
    return tensors
