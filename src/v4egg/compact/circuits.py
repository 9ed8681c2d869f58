"""What compact models have in common: how many filters each layer has, and how alike the filters of two units are.

Compact models share early filters and specialise by consolidation: wide early layers, then few filters that read them
out (Cowley, Stan, Pillow and Smith, bioRxiv 2023.11). Both are put in numbers here, each with what chance gives.
"""

from collections.abc import Callable, Sequence
from itertools import permutations, product
from math import comb
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.compact.network import SEPARABLE, CompactModels, CompactNetwork
from v4egg.seeding import numpy_generator

LAYERS = (0, *SEPARABLE)
EARLY, LATE = (0, 1), (2, 3, 4)  # the published collapse lies between layers 1 and 2
DRAWN = 3  # the published fewest filters of a layer
MEASURES = ("response", "kernel")
MODELS, SHUFFLED, UNPRUNED = "models", "shuffled", "unpruned"
_PLACES = 14  # x 14 places of a map


def filters(models: CompactModels) -> np.ndarray:
    """Numbers of filters (unit, layer)."""
    return np.array([network.widths for network in models.networks], dtype=np.int64).reshape(-1, len(LAYERS))


def consolidation(widths: np.ndarray) -> np.ndarray:
    """Consolidation index of numbers of filters (..., layer): (E - L) / (E + L).

    E is the mean of layers 0 and 1, L that of layers 2 to 4: 1 for a collapse to nothing, 0 for layers of one width,
    negative for networks that widen.
    """
    widths = np.asarray(widths, float)
    early, late = widths[..., list(EARLY)].mean(-1), widths[..., list(LATE)].mean(-1)
    return (early - late) / (early + late)


def shuffled_consolidation(widths: np.ndarray) -> np.ndarray:
    """The index (unit, order) of each unit's numbers of filters (unit, layer) in every order of the layers."""
    orders = list(permutations(range(widths.shape[-1])))
    return consolidation(np.asarray(widths)[..., orders])


def circuits(
    models: CompactModels,
    images: Tensor,
    unpruned: CompactModels | None = None,
    seed: int = 0,
    progress: Callable[[Sequence], Any] = iter,
) -> xr.Dataset:
    """Filters a layer, consolidation, and how alike filters are across units; a dataset of kind ``circuits``.

    A filter's likeness to another unit is the similarity of its best match among that unit's filters of the same layer.
    Two measures: ``response``, the correlation of the filters' outputs at the same places of the same images;
    ``kernel``, the cosine of the 5x5 kernels, of layer 0 with their colours, of layers 1 to 4 the depthwise ones. As a
    best match among many is better by chance, ``matched`` gives the expected best of :data:`DRAWN` filters drawn from
    the other unit.

    Args:
        models: at least two units, for likeness.
        images: (n, 3, y, x) in [0, 1], the probe set that is common to all.
        unpruned: the same units' models before pruning.
        seed: shuffled weights are keyed by (seed, unit).

    Returns:
        filters[unit, layer], parameters[unit], consolidation[unit]; similarity and matched [measure, condition, layer,
        unit], means over a unit's filters and over all other units. Conditions: ``models``; ``shuffled``, networks
        whose weights change places within each kernel; ``unpruned``, if given. Filters that never vary are left out.
    """
    sources = {MODELS: models, SHUFFLED: shuffled(models, seed)} | ({UNPRUNED: unpruned} if unpruned else {})
    shape = (len(MEASURES), len(sources), len(LAYERS), len(models.units))
    similarity, matched = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for c, source in enumerate(progress(list(sources.values()))):
        responses = [filter_responses(network, source.centred(images)) for network in source.networks]
        kernels = [filter_kernels(network) for network in source.networks]
        for (m, units), layer in product(enumerate((responses, kernels)), LAYERS):
            similarity[m, c, layer], matched[m, c, layer] = likeness([vectors[layer] for vectors in units])
    dims = ("measure", "condition", "layer", "unit")
    widths = filters(models)
    return xr.Dataset(
        {
            "filters": (("unit", "layer"), widths),
            "parameters": ("unit", [network.parameters_count for network in models.networks]),
            "consolidation": ("unit", consolidation(widths)),
            "similarity": (dims, similarity),
            "matched": (dims, matched),
        },
        {
            "unit": np.array(models.units, object),
            "layer": list(LAYERS),
            "measure": list(MEASURES),
            "condition": list(sources),
        },
    )


@torch.no_grad()
def filter_responses(network: CompactNetwork, centred: Tensor) -> list[np.ndarray]:
    """By layer, outputs of its filters (filter, image x place), each of mean 0 and length 1; silent ones left out.

    ``centred``: (n, 3, y, x), what the networks see. Outputs are taken at 14 x 14 places of each map, or all of a
    smaller one.
    """
    parts: list[list[Tensor]] = [[] for _ in LAYERS]
    for images in centred.split(4):
        for kept, maps in zip(parts, network.layers(images), strict=True):
            rows, columns = (_places(side) for side in maps.shape[-2:])
            kept.append(maps[:, :, rows][..., columns].transpose(0, 1).flatten(1))
    return [_unit_length(torch.cat(kept, 1).numpy(), centred=True) for kept in parts]


def _places(side: int) -> list[int]:
    count = min(side, _PLACES)
    return np.floor((np.arange(count) + 0.5) * side / count).astype(int).tolist()


def filter_kernels(network: CompactNetwork) -> list[np.ndarray]:
    """By layer, its 5x5 kernels (kernel, weight), each of length 1: of layer 0 RGB, of the others depthwise."""
    names = ["conv0_weight", *(f"depthwise{layer}" for layer in SEPARABLE)]
    return [_unit_length(network.get_buffer(name).flatten(1).cpu().numpy(), centred=False) for name in names]


def _unit_length(rows: np.ndarray, centred: bool) -> np.ndarray:
    rows = rows - rows.mean(1, keepdims=True) if centred else rows
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    alive = length[:, 0] > 1e-6
    return rows[alive] / length[alive]


def likeness(vectors: Sequence[np.ndarray], drawn: int = DRAWN) -> tuple[np.ndarray, np.ndarray]:
    """How alike each unit's vectors are to the best match among those of each other unit.

    Args:
        vectors: by unit (filter, value), of length 1; a unit may have none.

    Returns:
        The mean over a unit's vectors and over the other units (unit,), of the best match and of the expected best of
        ``drawn`` vectors of the other unit, drawn without replacement; NaN without a vector or another unit.
    """
    every = np.concatenate(list(vectors))
    ends = np.cumsum([len(rows) for rows in vectors])
    best, matched = np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    for unit, rows in enumerate(vectors):
        if not len(rows):
            continue
        blocks = np.split(rows @ every.T, ends[:-1], axis=1)
        others = [block for other, block in enumerate(blocks) if other != unit and block.shape[1]]
        if others:
            best[unit] = np.mean([block.max(1).mean() for block in others])
            matched[unit] = np.mean([_expected_best(block, drawn).mean() for block in others])
    return best, matched


def _expected_best(similarity: np.ndarray, drawn: int) -> np.ndarray:
    """Expected largest of ``drawn`` entries of each row, drawn without replacement (of all if there are fewer)."""
    count = similarity.shape[1]
    drawn = min(drawn, count)
    # the r-th largest is the best if it is drawn and the rest are among the count - r - 1 smaller ones
    weights = np.array([comb(count - rank - 1, drawn - 1) for rank in range(count)], float) / comb(count, drawn)
    return -np.sort(-similarity, axis=1) @ weights


def shuffled(models: CompactModels, seed: int) -> CompactModels:
    """Networks whose weights change places within each kernel: same numbers, no structure. Keyed by (seed, unit)."""
    networks = []
    for unit, network in zip(models.units, models.networks, strict=True):
        generator = numpy_generator(seed, "shuffled weights", unit)
        tensors = dict(network.named_buffers())
        for name, tensor in tensors.items():
            if tensor.ndim == 4:
                rows = generator.permuted(tensor.cpu().flatten(1).numpy(), axis=1)
                tensors[name] = torch.from_numpy(rows).reshape(tensor.shape)
        networks.append(CompactNetwork(tensors, network.strides))
    return CompactModels(networks, models.units, models.size).eval()
