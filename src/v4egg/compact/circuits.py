"""Filters of compact models: how many each layer has, and how similar the filters of two units are.

Compact models share early filters and specialise by consolidation: wide early layers, followed by few filters that read
them out (Cowley, Stan, Pillow & Smith, "Compact deep neural network models of the visual cortex", Nature 2026). Both
are quantified here, each with its chance level.
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
EARLY, LATE = (0, 1), (2, 3, 4)  # published networks consolidate between layers 1 and 2
MATCHED = 3  # the smallest published number of filters of a layer
MEASURES = ("response", "kernel")
MODELS, SHUFFLED, UNPRUNED = "models", "shuffled", "unpruned"
_POSITIONS = 14  # per side of a map


def filters(models: CompactModels) -> np.ndarray:
    """Numbers of filters (unit, layer), int64."""
    return np.array([network.widths for network in models.networks], dtype=np.int64).reshape(-1, len(LAYERS))


def consolidation(widths: np.ndarray) -> np.ndarray:
    """Consolidation index (E - L) / (E + L) of numbers of filters (..., layer).

    E is the mean number of filters of layers 0 and 1, L that of layers 2 to 4. The index approaches 1 for few late
    filters, is 0 for layers of equal width and negative for networks that widen.

    >>> consolidation(np.array([90, 90, 10, 10, 10])).item()
    0.8
    """
    widths = np.asarray(widths, float)
    early, late = widths[..., list(EARLY)].mean(-1), widths[..., list(LATE)].mean(-1)
    return (early - late) / (early + late)


def shuffled_consolidation(widths: np.ndarray) -> np.ndarray:
    """Consolidation index (unit, order) of numbers of filters (unit, layer) in every order of the layers."""
    orders = list(permutations(range(widths.shape[-1])))
    return consolidation(np.asarray(widths)[..., orders])


def circuits(
    models: CompactModels,
    images: Tensor,
    unpruned: CompactModels | None = None,
    seed: int = 0,
    progress: Callable[[Sequence[CompactModels]], Any] = iter,
) -> xr.Dataset:
    """Filters per layer, consolidation, and the similarity of filters across units.

    A filter's similarity to another unit is that of its best match among that unit's filters of the same layer. There
    are two measures: ``response`` is the correlation of the filters' outputs at the same positions in the same images;
    ``kernel`` is the cosine of the 5x5 kernels (RGB kernels in layer 0, depthwise ones in layers 1 to 4). As the best
    match among many filters is higher by chance, ``matched`` is the expected best match among :data:`MATCHED` random
    filters of the other unit.

    Args:
        models: compact models; similarity needs at least two units.
        images: (n, 3, y, x) in [0, 1], the same for all units.
        unpruned: the same units' models before pruning.
        seed: shuffled weights are keyed by (seed, unit).
        progress: wraps the loop over conditions, such as a progress bar.

    Returns:
        A dataset of kind ``circuits``: filters[unit, layer], parameters[unit], consolidation[unit]; similarity and
        matched [measure, condition, layer, unit], means over a unit's filters and over all other units. Conditions are
        ``models``, ``shuffled`` (networks whose weights are permuted within each kernel) and, if given, ``unpruned``.
        Filters with constant output are left out.
    """
    sources = {MODELS: models, SHUFFLED: shuffled(models, seed)} | ({UNPRUNED: unpruned} if unpruned else {})
    shape = (len(MEASURES), len(sources), len(LAYERS), len(models.units))
    similarity, matched = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for c, source in enumerate(progress(list(sources.values()))):
        responses = [filter_responses(network, source.centred(images)) for network in source.networks]
        kernels = [filter_kernels(network) for network in source.networks]
        for (m, units), layer in product(enumerate((responses, kernels)), LAYERS):
            similarity[m, c, layer], matched[m, c, layer] = best_match_similarity([vectors[layer] for vectors in units])
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
    """Outputs of each layer's filters, normalized to mean 0 and length 1.

    Args:
        network: the network of one unit.
        centred: images (n, 3, y, x) as :meth:`CompactModels.centred` returns them.

    Returns:
        By layer, (filter, image x position), at 14 x 14 positions of each map, or at all positions of a smaller one.
        Filters with constant output are left out.
    """
    outputs: list[list[Tensor]] = [[] for _ in LAYERS]
    for images in centred.split(4):
        for of_layer, maps in zip(outputs, network.layers(images), strict=True):
            rows, columns = (_positions(side) for side in maps.shape[-2:])
            of_layer.append(maps[:, :, rows][..., columns].transpose(0, 1).flatten(1))
    return [_unit_length(torch.cat(of_layer, 1).numpy(), centred=True) for of_layer in outputs]


def _positions(side: int) -> list[int]:
    count = min(side, _POSITIONS)
    return np.floor((np.arange(count) + 0.5) * side / count).astype(int).tolist()


def filter_kernels(network: CompactNetwork) -> list[np.ndarray]:
    """By layer, 5x5 kernels (kernel, weight) of length 1: RGB kernels in layer 0, depthwise ones in the others."""
    names = ["conv0_weight", *(f"depthwise{layer}" for layer in SEPARABLE)]
    return [_unit_length(network.get_buffer(name).flatten(1).cpu().numpy(), centred=False) for name in names]


def _unit_length(rows: np.ndarray, centred: bool) -> np.ndarray:
    rows = rows - rows.mean(1, keepdims=True) if centred else rows
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    alive = length[:, 0] > 1e-6
    return rows[alive] / length[alive]


def best_match_similarity(vectors: Sequence[np.ndarray], matched: int = MATCHED) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of each unit's vectors to their best matches among the vectors of each other unit.

    Args:
        vectors: by unit (filter, value), of length 1; a unit may have none.
        matched: number of vectors drawn from the other unit, for the second result.

    Returns:
        Means over a unit's vectors and over the other units (unit,): of the similarity of the best match, and of the
        expected best among ``matched`` vectors of the other unit drawn without replacement. NaN for a unit without
        vectors or without other units.

    >>> same = [np.eye(2), np.eye(2)]
    >>> best, matched = best_match_similarity(same, matched=1)
    >>> best.tolist(), matched.tolist()
    ([1.0, 1.0], [0.5, 0.5])
    """
    pooled = np.concatenate(list(vectors))
    ends = np.cumsum([len(rows) for rows in vectors])
    best, expected = np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    for unit, rows in enumerate(vectors):
        if not len(rows):
            continue
        blocks = np.split(rows @ pooled.T, ends[:-1], axis=1)
        others = [block for other, block in enumerate(blocks) if other != unit and block.shape[1]]
        if others:
            best[unit] = np.mean([block.max(1).mean() for block in others])
            expected[unit] = np.mean([_expected_best(block, matched).mean() for block in others])
    return best, expected


def _expected_best(similarity: np.ndarray, size: int) -> np.ndarray:
    """Expected maximum of ``size`` entries of each row drawn without replacement (of all if there are fewer)."""
    count = similarity.shape[1]
    size = min(size, count)
    # the r-th largest is the best if it is drawn and the rest are among the count - r - 1 smaller ones
    weights = np.array([comb(count - rank - 1, size - 1) for rank in range(count)], float) / comb(count, size)
    return -np.sort(-similarity, axis=1) @ weights


def shuffled(models: CompactModels, seed: int) -> CompactModels:
    """The models with weights permuted within each kernel; permutations are keyed by (seed, unit)."""
    networks = []
    for unit, network in zip(models.units, models.networks, strict=True):
        rng = numpy_generator(seed, "shuffled weights", unit)
        tensors = dict(network.named_buffers())
        for name, tensor in tensors.items():
            if tensor.ndim == 4:
                rows = rng.permuted(tensor.cpu().flatten(1).numpy(), axis=1)
                tensors[name] = torch.from_numpy(rows).reshape(tensor.shape)
        networks.append(CompactNetwork(tensors, network.strides))
    return CompactModels(networks, models.units, models.size).eval()
