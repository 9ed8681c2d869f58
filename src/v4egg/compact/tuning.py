"""Responses of units to probe stimuli, and tuning curves and maps along the parameters of the probes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from v4egg.compact.probes import PARAMETERS, render
from v4egg.encoders.unit_model import UnitModel
from v4egg.errors import V4eggError

_BATCH = 64


@torch.no_grad()
def tuning(models: UnitModel, table: pd.DataFrame, size: int, progress: Callable[[range], Any] = iter) -> xr.Dataset:
    """Responses of all units of ``models`` to all probes of a table.

    Args:
        models: takes images (B, 3, size, size) in [0, 1] to responses (B, U).
        table: rows of :func:`v4egg.compact.probes.probe_table`, the grey one among them.
        size: side of the images in pixels.
        progress: wraps the loop over batches, such as a progress bar.

    Returns:
        A dataset of kind ``tuning``: ``response`` (unit, probe) in the units of the models' output, and the columns of
        the table (probe,).

    Raises:
        V4eggError: there is no probe of stimulus class ``grey``, which responses are compared with.

    Example:
        >>> from v4egg.compact.probes import probe_table
        >>> class Brightness:
        ...     units = ["s1-u000"]
        ...     def __call__(self, images):
        ...         return images.mean((1, 2, 3))[:, None]
        >>> dataset = tuning(Brightness(), probe_table(places=1, samples=1), size=32)
        >>> curve(dataset, "dot", ["polarity"])["response"].round(3).tolist()
        [-0.001, 0.048]
    """
    if not (table["stimulus_class"] == "grey").any():
        raise V4eggError(
            "tuning: no probe of stimulus class grey; responses are computed relative to it, so keep it in the table"
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
    """The probe table of a ``tuning`` store, see :func:`v4egg.compact.probes.probe_table`."""
    columns = {name: dataset[name].values for name in ("stimulus_class", *PARAMETERS)}
    return pd.DataFrame(columns, pd.Index(dataset["probe"].values.astype(str), name="probe")).astype(
        {"stimulus_class": str}
    )


def responses_above_grey(dataset: xr.Dataset) -> np.ndarray:
    """Responses (unit, probe), float64, minus the response to the grey background."""
    response = dataset["response"].transpose("unit", "probe").values.astype(float)
    grey = response[:, dataset["stimulus_class"].values.astype(str) == "grey"]
    return response - grey.mean(1, keepdims=True)


def curve(dataset: xr.Dataset, stimulus_class: str, parameters: Sequence[str]) -> pd.DataFrame:
    """Responses above grey along parameters of a stimulus class, the largest over its other parameters.

    Args:
        dataset: a dataset of kind ``tuning``.
        stimulus_class: such as ``grating``.
        parameters: names from :data:`v4egg.compact.probes.PARAMETERS`; probes without a value of them are left out.

    Returns:
        One row per unit and combination of values. Columns: unit, the ``parameters``, response.

    Raises:
        V4eggError: no probe of the stimulus class has these parameters.
    """
    table = table_of(dataset)
    selection = ((table["stimulus_class"] == stimulus_class) & table[list(parameters)].notna().all(axis=1)).to_numpy()
    if not selection.any():
        raise V4eggError(
            f"tuning: no probe of stimulus class '{stimulus_class}' has {', '.join(parameters)}; "
            "choose other parameters"
        )
    response = pd.DataFrame(responses_above_grey(dataset)[:, selection].T, columns=dataset["unit"].values.astype(str))
    keys = table.loc[selection, list(parameters)].reset_index(drop=True)
    best = response.groupby([keys[name] for name in parameters]).max()
    best.columns.name = "unit"
    stacked = pd.Series(best.stack(), name="response")
    return stacked.reset_index()[["unit", *parameters, "response"]]
