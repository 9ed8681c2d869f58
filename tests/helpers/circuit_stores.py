"""Small stores of circuits and adversarial images that figures are drawn from in tests; made of numbers, not models."""

import numpy as np
import xarray as xr

from figure_stores import save_transfer
from v4egg.compact.circuits import consolidation
from v4egg.compact.probes import PARAMETERS, probe_table
from v4egg.io import stores
from v4egg.seeding import numpy_generator

HEAD = {"model_source": "published", "session": "s1"}
N = 5
UNITS = [f"s1-u{i:03d}" for i in range(N)]


def save_tuning(path):
    """The third unit likes dots twice as much as anything else, the others gratings."""
    table = probe_table(places=2, samples=1)
    response = np.zeros((N, len(table)))
    response[:, (table["stimulus_class"] == "grating").to_numpy()] = 2
    response[2, (table["stimulus_class"] == "grating").to_numpy()] = 1
    response[2, ((table["stimulus_class"] == "dots") & (table["size"] == 0.07)).to_numpy()] = 2
    variables = {
        "response": (("unit", "probe"), response),
        "stimulus_class": ("probe", table["stimulus_class"].to_numpy(object)),
    }
    variables |= {name: ("probe", table[name].to_numpy()) for name in PARAMETERS}
    stores.save(xr.Dataset(variables, {"unit": UNITS, "probe": list(table.index)}, HEAD), path, "tuning")
    return path


def save_circuits(path, unpruned=True):
    """Filters as published; likeness .9 in early layers and .5 in late ones, .4 for shuffled weights."""
    widths = np.tile([47, 57, 3, 7, 3], (N, 1)) + np.arange(N)[:, None]
    conditions = ["models", "shuffled", *(["unpruned"] if unpruned else [])]
    likeness = np.full((2, len(conditions), 5, N), 0.4)
    likeness[:, 0, :2], likeness[:, 0, 2:] = 0.9, 0.5
    likeness += 0.01 * np.arange(N)
    dims = ("measure", "condition", "layer", "unit")
    variables = {
        "filters": (("unit", "layer"), widths),
        "parameters": ("unit", np.arange(N) + 9000),
        "consolidation": ("unit", consolidation(widths)),
        "similarity": (dims, likeness),
        "matched": (dims, likeness - 0.1),
    }
    coords = {"unit": UNITS, "layer": range(5), "measure": ["response", "kernel"], "condition": conditions}
    stores.save(xr.Dataset(variables, coords, HEAD), path, "circuits")
    return path


def save_dot_detector(path, size=16, prefers_dots=True):
    draw = numpy_generator("dot detector")
    known = np.arange(6) < np.array([6, 5, 3, 3, 3])[:, None]
    contribution = np.where(known, 1 - 0.2 * np.arange(6), np.nan)
    fewer = np.array([1, 2, 4]) < np.array([6, 5, 3, 3, 3])[:, None]
    left = np.where(fewer & prefers_dots, [0.5, 0.2, 0.0], np.nan)
    flow = np.where(np.arange(5)[:, None, None] > 0, draw.normal(0, 1, (5, 3, 3)), np.nan)
    variables = {
        "dot_index": ("unit", [-0.5, -0.2, 0.4, np.nan, -1]),
        "dot_response": ("unit", [1, 1, 2, 0, 1]),
        "rival_response": ("unit", [3, 1.5, 0.8, 0, 1]),
        "dot_probe": ("unit", np.array(["dots-size0.07-polarity-1-phase180"] * N, object)),
        "rival_probe": ("unit", np.array(["edge-x0.5-orientation45"] * N, object)),
        "contribution": (("layer", "filter"), contribution),
        "rival_contribution": (("layer", "filter"), -contribution),
        "filter_index": (("layer", "filter"), np.where(known, draw.uniform(-1, 1, (5, 6)), np.nan)),
        "ablated": (("layer", "removed"), left),
        "ablated_random": (("layer", "removed", "draw"), np.stack([left + 0.3, left + 0.5, left - 0.1], -1)),
        "rank": (("layer", "shown"), np.tile([0, 1, 2], (5, 1))),
        "map": (("layer", "shown", "stimulus", "y", "x"), draw.random((5, 3, 2, size, size))),
        "flow": (("layer", "shown", "source"), flow),
    }
    attrs = {"model_source": "published", "unit": UNITS[2], "selectivity": 1.2 if prefers_dots else -1}
    attrs |= {"dot": "dots-size0.07-polarity-1-phase180", "rival": "edge-x0.5-orientation45"}
    coords = {"unit": UNITS, "layer": range(5), "removed": [1, 2, 4], "stimulus": ["dot", "rival"]}
    stores.save(xr.Dataset(variables, coords, attrs), path, "dot_detector")
    return path


def save_adversarial(path, size=8):
    """Images move the models by 2 and the other judge by 1 in sd, but for the last unit, which they do not move."""
    judges, shape = ["published_compact", "attention"], (N, 2, 2, 2)
    moved = np.where(np.arange(N) < N - 1, 1.0, 0.1)[:, None, None, None, None] * np.array([2.0, 1.0])
    sign = np.array([1, -1])[:, None, None, None]
    images = numpy_generator("adversarial figure").random((*shape, 3, size, size))
    natural = np.zeros((N, 2, 2))
    random = np.tile([0.2, -0.2, 0.1], (N, 2, 2, 2, 1))[..., None] * np.ones(2)
    natural_sd = np.ones((N, 2))
    variables = {
        "image": (("unit", "direction", "epsilon", "sample", "channel", "y", "x"), images),
        "natural_image": (("unit", "sample", "channel", "y", "x"), np.full((N, 2, 3, size, size), 128, np.uint8)),
        "rms": (("unit", "direction", "epsilon", "sample"), np.full(shape, 0.01)),
        "natural": (("unit", "sample", "judge"), natural),
        "adversarial": (("unit", "direction", "epsilon", "sample", "judge"), moved * sign * np.ones((*shape, 2))),
        "random": (("unit", "kind", "epsilon", "sample", "draw", "judge"), random),
        "position": (("unit", "sample"), np.zeros((N, 2), int)),
        "natural_sd": (("unit", "judge"), natural_sd),
        "shares_weights": ("judge", [True, False]),
    }
    coords = {"unit": UNITS, "direction": ["raise", "lower"], "epsilon": [0.01, 0.03], "kind": ["white", "spectrum"]}
    stores.save(xr.Dataset(variables, {**coords, "judge": judges}, HEAD), path, "adversarial")
    return path


def save_maximizing(path):
    return save_transfer(
        path, N, 1, ("published_compact",), ("maximizing", "model_selected_natural", "noise"), judges=("attention",)
    )
