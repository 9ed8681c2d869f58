"""The filters that the preference of a dot detector depends on, by ablation.

How much of the preference is left without single filters, and without the most important ones compared with as many
random ones. The analysis follows Cowley, Stan, Pillow & Smith, Nature 2026, with other measures.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional

from v4egg.compact.circuits import LAYERS
from v4egg.compact.dot_detector import dot_index, dots_and_rivals
from v4egg.compact.network import CompactModels, CompactNetwork, depthwise
from v4egg.compact.probes import render
from v4egg.compact.tuning import responses_above_grey, table_of
from v4egg.errors import V4eggError
from v4egg.seeding import numpy_generator
from v4egg.stats.activation_scales import response_retained

MAPS = 3  # filters per layer whose maps are stored
_BATCH = 4  # images, as in CompactModels; from layer 1 on maps are a quarter as large


class AblationProbe:
    """A network's responses to probes without some filters of one layer.

    Args:
        network: the intact network.
        images: centred images (n, 3, y, x), the grey one last.
        dots, rivals: positions among the images of the small dots, and of all others except grey.
    """

    def __init__(self, network: CompactNetwork, images: Tensor, dots: np.ndarray, rivals: np.ndarray) -> None:
        self.network, self.images, self.dots, self.rivals = network, images, dots, rivals
        self._layer, self._maps = -1, images

    @torch.no_grad()
    def without(self, layer: int, filters: Sequence[int]) -> tuple[float, float]:
        """Responses above grey to the best dot and to the best rival of the network without some filters of a layer.

        The layer's maps are cached until another layer is ablated, since ablation does not change earlier layers.
        """
        if layer != self._layer:
            self._layer, self._maps = layer, torch.cat([self.network.layers(part)[layer] for part in self._batches()])
        responses = []
        for maps in self._maps.split(4 * _BATCH if layer else _BATCH):
            remaining = maps.index_fill(1, torch.as_tensor(list(filters), dtype=torch.long), 0)
            responses.append(self.network.read_out(self.network.later_layers(remaining, layer)[-1]))
        response = torch.cat(responses).double().numpy()
        response = response[:-1] - response[-1]
        return float(response[self.dots].max()), float(response[self.rivals].max())

    @torch.no_grad()
    def filter_indices(self) -> np.ndarray:
        """Dot index (layer, filter) of the mean output of each filter, NaN beyond a layer's last filter."""
        index = np.full((len(LAYERS), max(self.network.widths)), np.nan)
        parts = [[maps.mean((2, 3)) for maps in self.network.layers(images)] for images in self._batches()]
        for layer in LAYERS:
            outputs = torch.cat([part[layer] for part in parts]).double().numpy().T
            above_grey = outputs[:, :-1] - outputs[:, -1:]
            index[layer, : len(outputs)] = dot_index(above_grey, self.dots, self.rivals)
        return index

    def _batches(self) -> Sequence[Tensor]:
        return self.images.split(_BATCH)


def dot_circuit(
    models: CompactModels,
    tuning: xr.Dataset,
    unit: str,
    *,
    draws: int = 20,
    per_class: int = 16,
    seed: int = 0,
) -> xr.Dataset:
    """Ablate the filters of each layer to find those that a unit's response to dots depends on.

    Selectivity is the response to the best dot minus that to the best rival, over a selection of probes: for each
    stimulus class those that excite the intact unit most, and others evenly spaced in its ranking.

    Args:
        models: the compact models that the ``tuning`` store was computed with.
        tuning: a dataset of kind ``tuning``.
        unit: the unit to analyse.
        draws: random sets of filters for each number of ablated ones, keyed by (seed, unit, layer, number).
        per_class: probes of a stimulus class that ablated networks are shown; half of them are those that excite the
            intact network most.
        seed: of the random sets.

    Returns:
        A dataset with dims layer, filter (NaN beyond a layer's last), removed (numbers of ablated filters: 1, 2, 4,
        ...) and draw.

        - ``contribution`` (layer, filter): decrease of the response to the best dot without that filter;
          ``rival_contribution``: likewise for the best rival.
        - ``filter_index`` (layer, filter): dot index of the filter's own mean output.
        - ``ablated`` (layer, removed) and ``ablated_random`` (layer, removed, draw): selectivity without the filters
          that contribute most to it, and without random ones, divided by that of the intact unit (NaN if it prefers a
          rival).
        - ``rank`` (layer, shown): the filters whose ``map`` (layer, shown, stimulus, y, x) is stored.
        - ``flow`` (layer, shown, source): input from the stored filters of the layer before, at the position where the
          filter responds most to the dot.
        - attributes ``unit``, ``dot`` and ``rival`` (names of probes), ``selectivity``.

    Raises:
        V4eggError: the models or the store do not have the unit.
    """
    if unit not in models.units or unit not in tuning["unit"].values:
        raise V4eggError(f"dot detector: no unit {unit} in models and tuning; give those of one session")
    network = models.networks[models.units.index(unit)]
    table, response = table_of(tuning), responses_above_grey(tuning.sel(unit=[unit]))[0]
    images, rows, (dots, rivals) = _selected(models, table, response, per_class)
    ablation = AblationProbe(network, images, dots, rivals)
    dot, rival = (int(rows[which][response[rows[which]].argmax()]) for which in (dots, rivals))
    selectivity = float(response[dot] - response[rival])
    single, numbers = _single_ablations(ablation), _removed(network.widths)
    joint, random = _joint_ablations(ablation, single, numbers, draws, (seed, unit))
    rank = _ranked(single["contribution"], network.widths)
    pair = models.centred(
        render(table.iloc[[dot, rival, int(np.argmax(table["stimulus_class"] == "grey"))]], models.size)
    )
    maps, flow = _maps_and_flow(network, pair, rank)
    dims = ("layer", "filter")
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in single.items()},
            "filter_index": (dims, ablation.filter_indices()),
            "ablated": (("layer", "removed"), response_retained(joint, selectivity)),
            "ablated_random": (("layer", "removed", "draw"), response_retained(random, selectivity)),
            "rank": (("layer", "shown"), rank),
            "map": (("layer", "shown", "stimulus", "y", "x"), maps),
            "flow": (("layer", "shown", "source"), flow),
        },
        {"layer": list(LAYERS), "removed": numbers, "stimulus": ["dot", "rival"]},
        {"unit": unit, "dot": str(table.index[dot]), "rival": str(table.index[rival]), "selectivity": selectivity},
    )


def _selected(
    models: CompactModels, table: pd.DataFrame, response: np.ndarray, per_class: int
) -> tuple[Tensor, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The probes for ablated networks, the grey one last; their rows; and the positions of dots and rivals in these."""
    dots, rivals = dots_and_rivals(table)
    classes = [np.flatnonzero(dots)]
    classes += [
        np.flatnonzero(rivals & (table["stimulus_class"] == stimulus_class).to_numpy())
        for stimulus_class in table["stimulus_class"].unique()
    ]
    rows = np.concatenate([_selection(members, response, per_class) for members in classes if len(members)])
    probes = pd.concat([table.iloc[rows], table[table["stimulus_class"] == "grey"].iloc[:1]])
    images = models.centred(render(probes, models.size))
    return images, rows, (np.flatnonzero(dots[rows]), np.flatnonzero(rivals[rows]))


def _selection(rows: np.ndarray, response: np.ndarray, count: int) -> np.ndarray:
    """The half of ``count`` rows with the largest responses, and others evenly spaced in the ranking of the rest."""
    half = count // 2
    ordered = rows[np.argsort(-response[rows], kind="stable")]
    rest = ordered[half:]
    spaced = np.unique(np.linspace(0, len(rest) - 1, min(half, len(rest))).round().astype(int))
    return np.concatenate([ordered[:half], rest[spaced]])


def _single_ablations(ablation: AblationProbe) -> dict[str, np.ndarray]:
    """Decrease (layer, filter) of the responses to the best dot and to the best rival without each filter."""
    widths = ablation.network.widths
    losses = np.full((2, len(widths), max(widths)), np.nan)
    for layer, width in enumerate(widths):
        intact = ablation.without(layer, [])
        for index in range(width):
            losses[:, layer, index] = np.subtract(intact, ablation.without(layer, [index]))
    return {"contribution": losses[0], "rival_contribution": losses[1]}


def _removed(widths: Sequence[int]) -> list[int]:
    return [2**power for power in range(max(widths).bit_length()) if 2**power < max(widths)] or [1]


def _joint_ablations(
    ablation: AblationProbe, single: dict[str, np.ndarray], numbers: Sequence[int], draws: int, key: tuple[int, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Selectivity (layer, removed) without the most important filters, (layer, removed, draw) without random ones."""
    importance, widths = single["contribution"] - single["rival_contribution"], ablation.network.widths
    chosen = np.full((len(widths), len(numbers)), np.nan)
    random = np.full((len(widths), len(numbers), draws), np.nan)
    for layer, width in enumerate(widths):
        order = np.argsort(-importance[layer, :width], kind="stable")
        for n, number in enumerate(numbers):
            if number >= width:
                continue
            chosen[layer, n] = np.subtract(*ablation.without(layer, order[:number].tolist()))
            rng = numpy_generator(key[0], "ablation", key[1], layer, number)
            for d in range(draws):
                random[layer, n, d] = np.subtract(*ablation.without(layer, rng.permutation(width)[:number].tolist()))
    return chosen, random


def _ranked(contribution: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Filters (layer, shown) with the largest contributions; -1 where a layer has fewer."""
    rank = np.full((len(widths), MAPS), -1)
    for layer, width in enumerate(widths):
        first = np.argsort(-contribution[layer, :width], kind="stable")[:MAPS]
        rank[layer, : len(first)] = first
    return rank


@torch.no_grad()
def _maps_and_flow(network: CompactNetwork, images: Tensor, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of the filters in ``rank`` for dot and rival, and the input that these filters get from one another.

    Args:
        network: the intact network.
        images: centred images of dot, rival and grey (3, 3, y, x).
        rank: filters (layer, shown), -1 for none.

    Returns:
        Maps (layer, shown, stimulus, y, x) at the images' size, and flow (layer, shown, source): the input to a filter
        of layers 1 to 4 from those of the layer before, for the dot minus that for grey, at the position where the dot
        raises the filter's output most; NaN for layer 0.
    """
    layers = network.layers(images)
    side = images.shape[-1]
    maps = np.full((len(LAYERS), MAPS, 2, side, side), np.nan, np.float32)
    flow = np.full((len(LAYERS), MAPS, MAPS), np.nan, np.float32)
    for layer, outputs in enumerate(layers):
        large = functional.interpolate(outputs[:2], (side, side), mode="nearest").numpy()
        inputs = _depthwise_inputs(network, layers, layer) if layer else None
        for rank_index, index in enumerate(rank[layer]):
            if index < 0:
                continue
            maps[layer, rank_index] = large[:, index]
            if inputs is None:
                continue
            peak = int((outputs[0, index] - outputs[2, index]).argmax())
            weights = network.get_buffer(f"pointwise{layer}_weight")[index, :, 0, 0].numpy()
            sources = rank[layer - 1]
            flow[layer, rank_index] = np.where(sources >= 0, (weights * inputs[:, peak])[sources], np.nan)
    return maps, flow


def _depthwise_inputs(network: CompactNetwork, layers: Sequence[Tensor], layer: int) -> np.ndarray:
    """Outputs of a layer's depthwise kernels (filter, position) for the dot minus those for grey."""
    kernels = network.get_buffer(f"depthwise{layer}")
    filtered = depthwise(layers[layer - 1], kernels, network.strides[layer - 1])
    return (filtered[0] - filtered[2]).flatten(1).numpy()
