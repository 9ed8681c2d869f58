"""The search for a dot detector among compact models, and its circuit: which filters make it one.

A dot detector responds to small dots more than to anything else it is probed with. Its circuit is read by ablation:
what is left of its preference without single filters, and without those that matter most, against as many drawn ones
(the unit and its analysis are those of Cowley, Stan, Pillow and Smith, bioRxiv 2023.11; the measures are ours).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional

from v4egg.compact.circuits import LAYERS
from v4egg.compact.network import CompactModels, CompactNetwork, depthwise
from v4egg.compact.probes import render
from v4egg.compact.tuning import driven, table_of
from v4egg.errors import V4eggError
from v4egg.seeding import numpy_generator
from v4egg.stats.metrics import response_retained

DOTS = ("dot", "dots")
LARGEST = 0.14  # diameter of what is still a dot, in sides of the image: larger ones are discs
MAPS = 3  # filters a layer whose maps are kept
_BATCH = 4  # images, as in CompactModels; from layer 1 on maps are a quarter as large


def dots_and_rivals(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which probes (n,) of a table are small dots, and which are their rivals: all others but the ground."""
    dots = (table["stimulus_class"].isin(DOTS) & (table["size"] <= LARGEST)).to_numpy()
    return dots, ~dots & (table["stimulus_class"] != "grey").to_numpy()


def dot_index(response: np.ndarray, dots: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """(D - R) / (D + R) of driven responses (..., probe): D to the best dot, R to the best rival, none below 0.

    1: responds to dots alone; 0: to something else as well; -1: not to dots. NaN where nothing drives it.
    """
    d, r = (np.maximum(response[..., which].max(-1), 0) for which in (dots, rivals))
    return np.divide(d - r, d + r, out=np.full(np.shape(d), np.nan), where=d + r > 0)


def dot_scores(tuning: xr.Dataset) -> xr.Dataset:
    """By unit of a ``tuning`` store: ``dot_index``, and the responses to the best dot and rival, and which these are.

    Responses are relative to the grey ground.
    """
    table, response = table_of(tuning), driven(tuning)
    dots, rivals = dots_and_rivals(table)
    names = table.index.to_numpy()
    best = {"dot": np.flatnonzero(dots), "rival": np.flatnonzero(rivals)}
    variables: dict = {"dot_index": ("unit", dot_index(response, dots, rivals))}
    for name, positions in best.items():
        chosen = positions[response[:, positions].argmax(1)]
        variables[f"{name}_response"] = ("unit", response[np.arange(len(response)), chosen])
        variables[f"{name}_probe"] = ("unit", names[chosen].astype(object))
    return xr.Dataset(variables, {"unit": tuning["unit"].values.astype(object)})


def best_dot_detector(scores: xr.Dataset) -> str:
    """The unit of the highest dot index.

    Raises:
        V4eggError: no unit is driven by any probe.
    """
    index = scores["dot_index"].values
    if not np.isfinite(index).any():
        raise V4eggError("dot detector: no unit responds to any probe more than to grey; check the models")
    return str(scores["unit"].values[np.nanargmax(index)])


class AblationProbe:
    """A network that is asked again and again what it prefers, without some filters of one layer.

    Args:
        images: centred, the ground last.
        dots, rivals: positions of the small dots, and of all others but the ground, among the images.
    """

    def __init__(self, network: CompactNetwork, images: Tensor, dots: np.ndarray, rivals: np.ndarray):
        self.network, self.images, self.dots, self.rivals = network, images, dots, rivals
        self.layer, self.maps = -1, images

    @torch.no_grad()
    def without(self, layer: int, filters: Sequence[int]) -> tuple[float, float]:
        """Responses to the best dot and to the best rival, above the ground's, of what ``ablated`` makes.

        The layer's maps are kept until another layer is asked for: what comes before an ablated filter does not change.
        """
        if layer != self.layer:
            self.layer, self.maps = layer, torch.cat([self.network.layers(part)[layer] for part in self._parts()])
        responses = []
        for maps in self.maps.split(4 * _BATCH if layer else _BATCH):
            left = maps.index_fill(1, torch.as_tensor(list(filters), dtype=torch.long), 0)
            responses.append(self.network.read_out(self.network.onwards(left, layer)[-1]))
        response = torch.cat(responses).double().numpy()
        response = response[:-1] - response[-1]
        return float(response[self.dots].max()), float(response[self.rivals].max())

    @torch.no_grad()
    def filter_indices(self) -> np.ndarray:
        """Dot index (layer, filter) of the mean output of each filter, above that to the ground."""
        found = np.full((len(LAYERS), max(self.network.widths)), np.nan)
        parts = [[maps.mean((2, 3)) for maps in self.network.layers(images)] for images in self._parts()]
        for layer in LAYERS:
            outputs = torch.cat([part[layer] for part in parts]).double().numpy().T
            driven_by = outputs[:, :-1] - outputs[:, -1:]
            found[layer, : len(outputs)] = dot_index(driven_by, self.dots, self.rivals)
        return found

    def _parts(self) -> Sequence[Tensor]:
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
    """Which filters of each layer carry a unit's response to dots.

    Selectivity is the response to the best dot less that to the best rival, over a selection of probes (for each
    stimulus class those that drive the intact unit most, and others evenly spaced in its ranking).

    Args:
        models: those that the ``tuning`` store is of.
        per_class: probes of a stimulus class that ablated networks see; half are those that drive the intact one most.
        draws: random sets of filters for each number of ablated ones, keyed by (seed, unit, layer, number).

    Returns:
        A dataset with dims layer, filter (by number within its layer, NaN beyond the last), removed (numbers of ablated
        filters: 1, 2, 4, ...), draw: ``contribution`` (layer, filter), what the response to the best dot loses without
        that filter; ``rival_contribution``; ``filter_index`` (layer, filter), the dot index of its own mean output;
        ``ablated`` (layer, removed) and ``ablated_random`` (layer, removed, draw), selectivity without the filters of
        the largest contribution to it and without drawn ones, over that of the intact unit (NaN if it prefers a rival);
        ``rank`` (layer, shown), the filters whose ``map`` (layer, shown, stimulus, y, x) is kept; ``flow`` (layer,
        shown, source), what the shown filters of the layer before give to them where they respond most to the dot;
        attrs ``unit``, ``dot`` and ``rival`` (probes), ``selectivity``.

    Raises:
        V4eggError: the models or the store do not know the unit.
    """
    if unit not in models.units or unit not in tuning["unit"].values:
        raise V4eggError(f"dot detector: no unit {unit} in models and tuning; give those of one session")
    network = models.networks[models.units.index(unit)]
    table, response = table_of(tuning), driven(tuning.sel(unit=[unit]))[0]
    images, rows, (dots, rivals) = _selected(models, table, response, per_class)
    asked = AblationProbe(network, images, dots, rivals)
    dot, rival = (int(rows[which][response[rows[which]].argmax()]) for which in (dots, rivals))
    whole = float(response[dot] - response[rival])
    alone, numbers = _single_ablations(asked), _removed(network.widths)
    ablated, drawn = _joint_ablations(asked, alone, numbers, draws, (seed, unit))
    rank = _ranked(alone["contribution"], network.widths)
    pair = models.centred(
        render(table.iloc[[dot, rival, int(np.argmax(table["stimulus_class"] == "grey"))]], models.size)
    )
    maps, flow = _maps_and_flow(network, pair, rank)
    dims = ("layer", "filter")
    return xr.Dataset(
        {
            **{name: (dims, values) for name, values in alone.items()},
            "filter_index": (dims, asked.filter_indices()),
            "ablated": (("layer", "removed"), response_retained(ablated, whole)),
            "ablated_random": (("layer", "removed", "draw"), response_retained(drawn, whole)),
            "rank": (("layer", "shown"), rank),
            "map": (("layer", "shown", "stimulus", "y", "x"), maps),
            "flow": (("layer", "shown", "source"), flow),
        },
        {"layer": list(LAYERS), "removed": numbers, "stimulus": ["dot", "rival"]},
        {"unit": unit, "dot": str(table.index[dot]), "rival": str(table.index[rival]), "selectivity": whole},
    )


def _selected(
    models: CompactModels, table: pd.DataFrame, response: np.ndarray, per_class: int
) -> tuple[Tensor, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The probes that ablated networks see, the ground last; their rows; and which of these are dots and rivals."""
    dots, rivals = dots_and_rivals(table)
    groups = [np.flatnonzero(dots)]
    groups += [
        np.flatnonzero(rivals & (table["stimulus_class"] == stimulus_class).to_numpy())
        for stimulus_class in table["stimulus_class"].unique()
    ]
    rows = np.concatenate([_selection(group, response, per_class) for group in groups if len(group)])
    chosen = pd.concat([table.iloc[rows], table[table["stimulus_class"] == "grey"].iloc[:1]])
    images = models.centred(render(chosen, models.size))
    return images, rows, (np.flatnonzero(dots[rows]), np.flatnonzero(rivals[rows]))


def _selection(rows: np.ndarray, response: np.ndarray, count: int) -> np.ndarray:
    half = count // 2
    ordered = rows[np.argsort(-response[rows], kind="stable")]
    rest = ordered[half:]
    spread = np.unique(np.linspace(0, len(rest) - 1, min(half, len(rest))).round().astype(int))
    return np.concatenate([ordered[:half], rest[spread]])


def _single_ablations(asked: AblationProbe) -> dict[str, np.ndarray]:
    """What each filter gives to the responses to the best dot and to the best rival (layer, filter)."""
    widths = asked.network.widths
    lost = np.full((2, len(widths), max(widths)), np.nan)
    for layer, width in enumerate(widths):
        intact = asked.without(layer, [])
        for index in range(width):
            lost[:, layer, index] = np.subtract(intact, asked.without(layer, [index]))
    return {"contribution": lost[0], "rival_contribution": lost[1]}


def _removed(widths: Sequence[int]) -> list[int]:
    return [2**power for power in range(max(widths).bit_length()) if 2**power < max(widths)] or [1]


def _joint_ablations(
    asked: AblationProbe, alone: dict[str, np.ndarray], numbers: Sequence[int], draws: int, key: tuple[int, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Selectivity (layer, removed) without the filters it needs most, and (layer, removed, draw) without drawn ones."""
    needed, widths = alone["contribution"] - alone["rival_contribution"], asked.network.widths
    chosen = np.full((len(widths), len(numbers)), np.nan)
    drawn = np.full((len(widths), len(numbers), draws), np.nan)
    for layer, width in enumerate(widths):
        order = np.argsort(-needed[layer, :width], kind="stable")
        for n, number in enumerate(numbers):
            if number >= width:
                continue
            chosen[layer, n] = np.subtract(*asked.without(layer, order[:number].tolist()))
            generator = numpy_generator(key[0], "ablation", key[1], layer, number)
            for d in range(draws):
                drawn[layer, n, d] = np.subtract(*asked.without(layer, generator.permutation(width)[:number].tolist()))
    return chosen, drawn


def _ranked(contribution: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """Filters (layer, shown) of the largest contribution; -1 where a layer has fewer."""
    rank = np.full((len(widths), MAPS), -1)
    for layer, width in enumerate(widths):
        first = np.argsort(-contribution[layer, :width], kind="stable")[:MAPS]
        rank[layer, : len(first)] = first
    return rank


@torch.no_grad()
def _maps_and_flow(network: CompactNetwork, images: Tensor, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps (layer, shown, stimulus, y, x) for dot and rival at the images' size, and what flows between shown filters.

    ``images``: centred, of dot, rival and ground. The flow (layer, shown, source) to a filter of layers 1 to 4 is taken
    where the dot raises it most, and is the dot's less the ground's; to itself, at layer 0, there is none.
    """
    layers = network.layers(images)
    side = images.shape[-1]
    maps = np.full((len(LAYERS), MAPS, 2, side, side), np.nan, np.float32)
    flow = np.full((len(LAYERS), MAPS, MAPS), np.nan, np.float32)
    for layer, seen in enumerate(layers):
        large = functional.interpolate(seen[:2], (side, side), mode="nearest").numpy()
        given = _given(network, layers, layer) if layer else None
        for place, index in enumerate(rank[layer]):
            if index < 0:
                continue
            maps[layer, place] = large[:, index]
            if given is None:
                continue
            peak = int((seen[0, index] - seen[2, index]).argmax())
            weights = network.get_buffer(f"pointwise{layer}_weight")[index, :, 0, 0].numpy()
            sources = rank[layer - 1]
            flow[layer, place] = np.where(sources >= 0, (weights * given[:, peak])[sources], np.nan)
    return maps, flow


def _given(network: CompactNetwork, layers: Sequence[Tensor], layer: int) -> np.ndarray:
    """What the depthwise kernels give for the dot, less for the ground (filter before, place)."""
    kernels = network.get_buffer(f"depthwise{layer}")
    filtered = depthwise(layers[layer - 1], kernels, network.strides[layer - 1])
    return (filtered[0] - filtered[2]).flatten(1).numpy()
