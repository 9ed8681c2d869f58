"""The table of all units: how each was recorded and predicted, whether it is used, and why not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses, why_left_out
from v4egg.recordings.spike_quality import spike_quality


def table(
    recordings: Sequence[str | Path],
    responses: Sequence[str | Path],
    scores: str | Path,
    targets: str | Path,
    *,
    selection: Mapping[str, float | None],
) -> pd.DataFrame:
    """Every unit of every session, a row each.

    Args:
        recordings: stores of kind ``recording``, one per session.
        responses: stores of kind ``responses`` of the same sessions, in the same order.
        scores: the store of the encoders' scores.
        targets: the store of the target units.
        selection: ``responses.selection`` of the configuration.

    Returns:
        Columns ``unit``; ``session``; ``reliability``, ``signal_to_noise`` and ``mean_count`` on the images that
        choices may use; ``rate`` (spikes/s after the onset), ``latency`` (s) and ``refractory_violations`` (share of
        intervals), empty without spikes; ``recorded_fraction`` (of the presentations); ``validation_correlation`` of
        the validators' prediction with the mean over repeats, the mean over architectures; ``selected``; ``target``,
        whether images are made for the unit; and ``left_out_because``, with the key of the configuration.

    Raises:
        V4eggError: a store is missing or of another kind.
    """
    correlation = stores.load(scores, "scores")["correlation_to_average"].sel(member="validators", split="validation")
    predicted = correlation.mean("arch").to_series()
    chosen = set(stores.load(targets, "targets")["unit"].values.astype(str))
    parts = [
        _session(recording, response, selection) for recording, response in zip(recordings, responses, strict=True)
    ]
    units = pd.concat(parts, ignore_index=True)
    units.insert(len(units.columns) - 2, "validation_correlation", units["unit"].map(predicted))
    units.insert(len(units.columns) - 1, "target", units["unit"].isin(chosen))
    return units


def _session(recording: str | Path, responses: str | Path, selection: Mapping[str, float | None]) -> pd.DataFrame:
    loaded, counted = load_recording(recording), load_responses(responses)
    units = pd.DataFrame(
        {
            "unit": counted.units,
            "session": counted.session,
            "reliability": counted.reliability,
            "signal_to_noise": counted.signal_to_noise,
            "mean_count": counted.mean_count,
        }
    )
    spikes = [spike_quality(loaded, unit) if loaded.spikes is not None else None for unit in counted.units]
    for name in ("rate", "latency", "refractory_violations"):
        units[name] = [getattr(quality, name) if quality else None for quality in spikes]
    units["recorded_fraction"] = counted.recorded_fraction
    units["selected"] = counted.selected
    units["left_out_because"] = why_left_out(counted, selection)
    return units
