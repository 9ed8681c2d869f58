"""Which filters of a compact network can go: the order and the criteria that Cowley et al. published, and rebuilding.

Layers are pruned last first (4, 3, 2, 1, 0) on images that no fit saw. In layer 4 a filter counts by the standard
deviation of what it adds to the response, and filters go, least first, as long as the squared correlation with the
teacher stays above a share of what it was. In the others a filter counts by the variance of its depthwise output in the
next layer times the sum of its squared pointwise weights there, and as many go, least first, as leave a share of the
next layer's pointwise output, centred. At least three filters stay in a layer (bioRxiv 2023.11).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from v4egg.compact.network import SEPARABLE, CompactNetwork, depthwise
from v4egg.stats import metrics

MINIMUM = 3  # filters of a layer
BATCH = 32


@dataclass
class Activity:
    """What pruning needs of a network's activity over images.

    Attributes:
        mean: of each map's depthwise output in the layer after (C,), over images and positions, a layer of 0 to 3 each.
        covariance: likewise (C, C).
        contributions: of each filter of layer 4 to the response (image, C).
    """

    mean: list[np.ndarray]
    covariance: list[np.ndarray]
    contributions: np.ndarray


@torch.no_grad()
def activity(network: CompactNetwork, centred: Tensor, batch: int = BATCH) -> Activity:
    """The :class:`Activity` of a network for centred images (n, 3, H, W)."""
    sums = [np.zeros(width) for width in network.widths[:-1]]
    products = [np.zeros((width, width)) for width in network.widths[:-1]]
    positions, contributions = [0] * len(SEPARABLE), []
    for part in centred.split(batch):
        maps = network.layers(part)
        for before, layer in enumerate(SEPARABLE):
            filtered = depthwise(maps[before], network.get_buffer(f"depthwise{layer}"), network.strides[before])
            flat = filtered.permute(0, 2, 3, 1).reshape(-1, filtered.shape[1]).double()
            sums[before] += flat.sum(0).numpy()
            products[before] += (flat.T @ flat).numpy()
            positions[before] += len(flat)
        contributions.append(torch.einsum("bchw,chw->bc", maps[-1], network.readout_map))
    means = [total / n for total, n in zip(sums, positions, strict=True)]
    covariances = [p / n - np.outer(m, m) for p, n, m in zip(products, positions, means, strict=True)]
    return Activity(means, covariances, torch.cat(contributions).double().numpy())


def surviving_filters(
    network: CompactNetwork, seen: Activity, teacher: np.ndarray, *, keep_r2: float, keep_output: float
) -> list[list[int]]:
    """The filters that stay in each of the five layers, ascending.

    Args:
        seen: of this network, for the images that ``teacher`` (n,) responded to.
        keep_r2: of the squared correlation with the teacher, by layer 4.
        keep_output: of the next layer's centred pointwise output, by the layers before.
    """
    kept = [_readout_survivors(seen.contributions, teacher, keep_r2)]
    for layer in reversed(SEPARABLE):
        weights = network.get_buffer(f"pointwise{layer}_weight")[:, :, 0, 0].double().numpy()[kept[0]]
        kept.insert(0, _survivors(weights, seen.covariance[layer - 1], keep_output))
    return kept


def _readout_survivors(contributions: np.ndarray, teacher: np.ndarray, share: float) -> list[int]:
    order = np.argsort(contributions.std(0), kind="stable")
    least = share * r2(contributions.sum(1), teacher)
    dropped = 0
    while dropped < len(order) - MINIMUM and r2(contributions[:, order[dropped + 1 :]].sum(1), teacher) > least:
        dropped += 1
    return sorted(order[dropped:].tolist())


def _survivors(weights: np.ndarray, covariance: np.ndarray, share: float) -> list[int]:
    """Of the filters that ``weights`` (outputs, C) sum, with ``covariance`` (C, C) of what is summed."""
    order = np.argsort(np.diag(covariance) * (weights**2).sum(0), kind="stable")
    total = _power(weights, covariance)
    dropped = max(
        (n for n in range(len(order) - MINIMUM + 1) if _lost(weights, covariance, order[:n]) <= (1 - share) * total),
        default=0,
    )
    return sorted(order[dropped:].tolist())


def _lost(weights: np.ndarray, covariance: np.ndarray, dropped: np.ndarray) -> float:
    return _power(weights[:, dropped], covariance[np.ix_(dropped, dropped)])


def _power(weights: np.ndarray, covariance: np.ndarray) -> float:
    """Variance of the weighted sums, summed over outputs."""
    return float(np.einsum("oc,cd,od->", weights, covariance, weights))


def masked(network: CompactNetwork, seen: Activity, kept: Sequence[Sequence[int]]) -> CompactNetwork:
    """The whole network with the other filters silent; the mean of what they added moves into the biases after them."""
    tensors = {name: tensor.clone() for name, tensor in network.named_buffers()}
    gone = [np.setdiff1d(np.arange(width), stay) for width, stay in zip(network.widths, kept, strict=True)]
    for layer in SEPARABLE:
        lost, mean = gone[layer - 1], torch.from_numpy(seen.mean[layer - 1]).float()
        weights = tensors[f"pointwise{layer}_weight"][:, lost, 0, 0]
        tensors[f"pointwise{layer}_bias"] += weights @ mean[lost]
    tensors["readout_bias"] += float(seen.contributions[:, gone[-1]].sum(1).mean())
    found = CompactNetwork(tensors, network.strides)
    for layer, filters in enumerate(gone):
        found = found.ablated(layer, filters.tolist())
    return found


def rebuilt(network: CompactNetwork, kept: Sequence[Sequence[int]]) -> CompactNetwork:
    """The small network of these filters alone; equal to the whole one where the others are silent."""
    tensors = dict(network.named_buffers())
    found = {"conv0_weight": tensors["conv0_weight"][kept[0]], "conv0_bias": tensors["conv0_bias"][kept[0]]}
    for layer in SEPARABLE:
        before, here = kept[layer - 1], kept[layer]
        found[f"depthwise{layer}"] = tensors[f"depthwise{layer}"][before]
        found[f"pointwise{layer}_weight"] = tensors[f"pointwise{layer}_weight"][here][:, before]
        found[f"pointwise{layer}_bias"] = tensors[f"pointwise{layer}_bias"][here]
    found["readout_weight"], found["readout_bias"] = tensors["readout_weight"][kept[-1]], tensors["readout_bias"]
    return CompactNetwork(found, network.strides)


def pruned(
    network: CompactNetwork, centred: Tensor, teacher: np.ndarray, *, keep_r2: float, keep_output: float
) -> CompactNetwork:
    """The network that pruning leaves, rebuilt, before it is trained again. See :func:`surviving_filters`."""
    seen = activity(network, centred)
    kept = surviving_filters(network, seen, teacher, keep_r2=keep_r2, keep_output=keep_output)
    return rebuilt(masked(network, seen, kept), kept)


def r2(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared correlation over images (axis 0)."""
    return metrics.correlation(prediction, truth) ** 2
