"""What units say to probes: a response to each, and curves and maps along a probe's parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from v4egg.compact.probes import PARAMETERS, render
from v4egg.errors import V4eggError

_BATCH = 64


@torch.no_grad()
def tuning(models: nn.Module, table: pd.DataFrame, size: int, progress: Callable[[range], Any] = iter) -> xr.Dataset:
    """Responses of all units of ``models`` to all probes of a table, in the models' own unit; of kind ``tuning``.

    Args:
        models: has ``units`` and takes images (B, 3, size, size) in [0, 1] to responses (B, U).
        table: what :func:`v4egg.compact.probes.probe_table` gives, or some of its rows; the ground must be among them.

    Raises:
        V4eggError: there is no probe of stimulus class ``grey``, to which responses are relative.
    """
    if not (table["stimulus_class"] == "grey").any():
        raise V4eggError(
            "tuning: no probe of stimulus class grey; responses are told relative to it, so keep it in the table"
        )
    starts = progress(range(0, len(table), _BATCH))
    parts = [models(render(table.iloc[i : i + _BATCH], size)).float().cpu().numpy() for i in starts]
    response = np.concatenate(parts).T
    return xr.Dataset(
        {
            "response": (("unit", "probe"), response),
            "stimulus_class": ("probe", table["stimulus_class"].to_numpy(object)),
        }
        | {name: ("probe", table[name].to_numpy(float)) for name in PARAMETERS},
        {"unit": np.array(list(models.units), object), "probe": table.index.to_numpy(object)},
        {"size": size},
    )


def table_of(dataset: xr.Dataset) -> pd.DataFrame:
    """The probe table of a ``tuning`` store."""
    columns = {name: dataset[name].values for name in ("stimulus_class", *PARAMETERS)}
    return pd.DataFrame(columns, pd.Index(dataset["probe"].values.astype(str), name="probe")).astype(
        {"stimulus_class": str}
    )


def driven(dataset: xr.Dataset) -> np.ndarray:
    """Responses (unit, probe) less that to the grey ground."""
    response = dataset["response"].transpose("unit", "probe").values.astype(float)
    ground = response[:, dataset["stimulus_class"].values.astype(str) == "grey"]
    return response - ground.mean(1, keepdims=True)


def curve(dataset: xr.Dataset, stimulus_class: str, parameters: Sequence[str]) -> pd.DataFrame:
    """Responses above grey along parameters of a stimulus class, the largest over its other parameters.

    One row per unit and value. Columns: unit, the ``parameters``, response. Probes without a value
    of them are left out.

    Raises:
        V4eggError: no probe of the stimulus class has these parameters.
    """
    table = table_of(dataset)
    chosen = ((table["stimulus_class"] == stimulus_class) & table[list(parameters)].notna().all(axis=1)).to_numpy()
    if not chosen.any():
        raise V4eggError(
            f"tuning: no probe of stimulus class '{stimulus_class}' has {', '.join(parameters)}; "
            "choose other parameters"
        )
    response = pd.DataFrame(driven(dataset)[:, chosen].T, columns=dataset["unit"].values.astype(str))
    keys = table.loc[chosen, list(parameters)].reset_index(drop=True)
    best = response.groupby([keys[name] for name in parameters]).max()
    best.columns.name = "unit"
    return best.stack().rename("response").reset_index()[["unit", *parameters, "response"]]
