"""Numbers of the figures ``recording-<session>``: what a recording holds, as it was understood."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from v4egg.evaluation.tables.common import Row, finite, quartiles
from v4egg.recordings.presentations import count_presentations, window_fit
from v4egg.recordings.recording import Recording, load_recording
from v4egg.recordings.responses import Responses, load_responses
from v4egg.recordings.spike_quality import PERIODS, SpikeQuality, bins, spike_quality

COLUMNS = ["measure", "unit", "statistic", "index", "value"]
SHOWN_UNITS = 4  # whose rasters are drawn


def table(recording: str | Path, responses: str | Path, window: Sequence[float]) -> pd.DataFrame:
    """What a session holds and how its units respond; one number per row.

    Args:
        recording: the session's store of kind ``recording``.
        responses: its store of kind ``responses``.
        window: start and stop of the response window, s after the onset.

    Returns:
        Columns ``measure``, ``unit`` (empty: of the session), ``statistic``, ``index`` and ``value``. Measures of the
        session: ``images``, ``units`` and ``presentations`` (statistic ``n``), ``repeats`` (number of images by number
        of presentations, the index), ``left_out`` (presentations, by reason) and ``warning`` (its text is the index).
        Of units: ``reliability``, ``recorded_fraction`` and ``selected``; with spikes also ``rate`` (spikes/s),
        ``latency``, ``window_start`` and ``window_stop`` (s), ``refractory_violations`` (share of intervals), ``psth``
        (spikes/s, by s after the onset) and ``drift`` (spikes/s by tenth of the session), these two with quartiles over
        units as well; ``shown`` numbers the units whose rasters are drawn.

    Raises:
        V4eggError: a store is missing or of another kind.
    """
    loaded, counted = load_recording(recording), load_responses(responses)
    start, stop = map(float, window)
    rows = _session_rows(loaded, (start, stop))
    rows += _unit_rows(counted)
    if loaded.spikes is not None:
        quality = {str(unit): spike_quality(loaded, str(unit)) for unit in loaded.units.index}
        rows += _quality_rows(quality)
        rows += [("shown", unit, "order", i, 1.0) for i, unit in enumerate(_shown(counted, quality))]
    return pd.DataFrame(rows, columns=COLUMNS)


def _session_rows(recording: Recording, window: tuple[float, float]) -> list[Row]:
    presentations = count_presentations(recording)
    sizes = {"images": len(recording.images), "units": len(recording.units), "presentations": int(presentations.sum())}
    rows: list[Row] = [(name, "", "n", "", float(size)) for name, size in sizes.items()]
    repeats, images = np.unique(presentations, return_counts=True)
    rows += [("repeats", "", "images", int(r), float(n)) for r, n in zip(repeats, images, strict=True)]
    rows += [("left_out", "", "presentations", reason, float(n)) for reason, n in recording.left_out.items()]
    words = list(recording.warnings)
    words += window_fit(recording, window).words() if recording.trials is not None else []
    return rows + [("warning", "", "text", text, np.nan) for text in words]


def _unit_rows(responses: Responses) -> list[Row]:
    measures = {
        "reliability": responses.reliability,
        "recorded_fraction": responses.recorded_fraction,
        "selected": responses.selected,
    }
    return [
        (name, unit, "unit", "", float(value))
        for name, values in measures.items()
        for unit, value in zip(responses.units, values, strict=True)
    ]


def _quality_rows(quality: dict[str, SpikeQuality]) -> list[Row]:
    rows: list[Row] = []
    for unit, each in quality.items():
        numbers = {"rate": each.rate, "latency": each.latency, "refractory_violations": each.refractory_violations}
        numbers |= {"window_start": each.window[0], "window_stop": each.window[1]}
        rows += [(name, unit, "unit", "", float(value)) for name, value in numbers.items()]
        rows += [("psth", unit, "unit", f"{t:.3f}", float(v)) for t, v in zip(bins(), each.psth, strict=True)]
        rows += [("drift", unit, "unit", i + 1, float(v)) for i, v in enumerate(each.drift)]
    times, tenths = [f"{t:.3f}" for t in bins()], list(range(1, PERIODS + 1))
    curves: list[tuple[str, list[Any]]] = [("psth", times), ("drift", tenths)]
    for name, index in curves:
        over = np.array([getattr(each, name) for each in quality.values()])
        for i, at in enumerate(index):
            if finite(over[:, i]).size:
                rows += [(name, "", statistic, at, value) for statistic, value in quartiles(over[:, i]).items()]
    return rows


def _shown(responses: Responses, quality: dict[str, SpikeQuality]) -> list[str]:
    """The most reliable units, or without repeats those that fire most."""
    reliability = dict(zip(responses.units, np.nan_to_num(responses.reliability, nan=-np.inf), strict=True))
    order = sorted(quality, key=lambda unit: (-reliability[unit], -np.nan_to_num(quality[unit].rate), unit))
    return order[:SHOWN_UNITS]
