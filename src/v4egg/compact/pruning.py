"""Pruning of compact networks by the published criteria, and rebuilding of the network that remains.

Layers are pruned from the last to the first (4, 3, 2, 1, 0) on images that were not used for fitting. In layer 4
filters are ranked by the standard deviation of their contribution to the response, and the lowest are removed as long
as the squared correlation with the teacher stays above a given fraction of its value before pruning. In the other
layers filters are ranked by the variance of their depthwise output in the next layer times the sum of their squared
pointwise weights there, and the lowest are removed as long as a given fraction of the variance of the next layer's
pointwise output remains. At least three filters per layer are kept (Cowley, Stan, Pillow & Smith, Nature 2026).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from v4egg.compact.network import SEPARABLE, CompactNetwork, depthwise
from v4egg.stats import metrics

MINIMUM = 3  # filters per layer
BATCH = 32  # images


@dataclass
class Activity:
    """Statistics of a network's activity over images.

    Attributes:
        mean: for layers 0 to 3, the mean over images and positions of each filter's depthwise output in the next layer
            (C,).
        covariance: likewise (C, C).
        contributions: contribution of each filter of layer 4 to the response (image, C).
    """

    mean: list[np.ndarray]
    covariance: list[np.ndarray]
    contributions: np.ndarray


@torch.no_grad()
def activity(network: CompactNetwork, centred: Tensor, batch: int = BATCH) -> Activity:
    """Compute the :class:`Activity` of a network for centred images (n, 3, H, W)."""
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
    network: CompactNetwork, statistics: Activity, teacher: np.ndarray, *, keep_r2: float, keep_output: float
) -> list[list[int]]:
    """The filters of each of the five layers that pruning keeps, ascending.

    Args:
        network: the network to prune.
        statistics: its activity over n images.
        teacher: responses of the teacher to these images (n,).
        keep_r2: fraction of the squared correlation with the teacher that must remain when layer 4 is pruned.
        keep_output: fraction of the variance of the next layer's pointwise output that must remain when the other
            layers are pruned.
    """
    survivors = [_readout_survivors(statistics.contributions, teacher, keep_r2)]
    for layer in reversed(SEPARABLE):
        weights = network.get_buffer(f"pointwise{layer}_weight")[:, :, 0, 0].double().numpy()[survivors[0]]
        survivors.insert(0, _survivors(weights, statistics.covariance[layer - 1], keep_output))
    return survivors


def _readout_survivors(contributions: np.ndarray, teacher: np.ndarray, share: float) -> list[int]:
    order = np.argsort(contributions.std(0), kind="stable")
    threshold = share * r2(contributions.sum(1), teacher)
    n_removed = 0
    while n_removed < len(order) - MINIMUM and r2(contributions[:, order[n_removed + 1 :]].sum(1), teacher) > threshold:
        n_removed += 1
    return sorted(order[n_removed:].tolist())


def _survivors(weights: np.ndarray, covariance: np.ndarray, share: float) -> list[int]:
    """The filters to keep, given pointwise ``weights`` (outputs, C) and the ``covariance`` (C, C) of their inputs."""
    order = np.argsort(np.diag(covariance) * (weights**2).sum(0), kind="stable")
    total = _power(weights, covariance)
    n_removed = max(
        (n for n in range(len(order) - MINIMUM + 1) if _removed(weights, covariance, order[:n]) <= (1 - share) * total),
        default=0,
    )
    return sorted(order[n_removed:].tolist())


def _removed(weights: np.ndarray, covariance: np.ndarray, filters: np.ndarray) -> float:
    return _power(weights[:, filters], covariance[np.ix_(filters, filters)])


def _power(weights: np.ndarray, covariance: np.ndarray) -> float:
    """Variance of the pointwise outputs, summed over outputs."""
    return float(np.einsum("oc,cd,od->", weights, covariance, weights))


def masked(network: CompactNetwork, statistics: Activity, survivors: Sequence[Sequence[int]]) -> CompactNetwork:
    """The network with all other filters set to zero and their mean contributions added to the biases that follow.

    Args:
        network: the network before pruning.
        statistics: its activity.
        survivors: the filters to keep, by layer.
    """
    tensors = {name: tensor.clone() for name, tensor in network.named_buffers()}
    pairs = zip(network.widths, survivors, strict=True)
    removed = [np.setdiff1d(np.arange(width), remaining) for width, remaining in pairs]
    for layer in SEPARABLE:
        filters, mean = removed[layer - 1], torch.from_numpy(statistics.mean[layer - 1]).float()
        weights = tensors[f"pointwise{layer}_weight"][:, filters, 0, 0]
        tensors[f"pointwise{layer}_bias"] += weights @ mean[filters]
    tensors["readout_bias"] += float(statistics.contributions[:, removed[-1]].sum(1).mean())
    result = CompactNetwork(tensors, network.strides)
    for layer, filters in enumerate(removed):
        result = result.ablated(layer, filters.tolist())
    return result


def rebuilt(network: CompactNetwork, survivors: Sequence[Sequence[int]]) -> CompactNetwork:
    """The small network of the kept filters; its responses equal those of the whole network with the others set to 0.

    Args:
        network: the whole network.
        survivors: the filters to keep, by layer.
    """
    tensors = dict(network.named_buffers())
    smaller = {"conv0_weight": tensors["conv0_weight"][survivors[0]], "conv0_bias": tensors["conv0_bias"][survivors[0]]}
    for layer in SEPARABLE:
        before, filters = survivors[layer - 1], survivors[layer]
        smaller[f"depthwise{layer}"] = tensors[f"depthwise{layer}"][before]
        smaller[f"pointwise{layer}_weight"] = tensors[f"pointwise{layer}_weight"][filters][:, before]
        smaller[f"pointwise{layer}_bias"] = tensors[f"pointwise{layer}_bias"][filters]
    smaller["readout_weight"] = tensors["readout_weight"][survivors[-1]]
    smaller["readout_bias"] = tensors["readout_bias"]
    return CompactNetwork(smaller, network.strides)


def pruned(
    network: CompactNetwork, centred: Tensor, teacher: np.ndarray, *, keep_r2: float, keep_output: float
) -> CompactNetwork:
    """Prune a network and rebuild it from the remaining filters; retraining comes afterwards.

    Args:
        network: the distilled network.
        centred: centred images (n, 3, H, W) that the network was not fitted to.
        teacher: responses of the teacher to these images (n,).
        keep_r2, keep_output: see :func:`surviving_filters`.
    """
    statistics = activity(network, centred)
    survivors = surviving_filters(network, statistics, teacher, keep_r2=keep_r2, keep_output=keep_output)
    return rebuilt(masked(network, statistics, survivors), survivors)


def r2(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared correlation over images (axis 0).

    >>> round(float(r2(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))), 6)
    1.0
    """
    return metrics.correlation(prediction, truth) ** 2
