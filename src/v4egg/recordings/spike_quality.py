"""What spikes tell of a unit before any model: response over time, latency, drift over the session, refractoriness."""

from dataclasses import dataclass

import numpy as np

from v4egg.recordings import intervals
from v4egg.recordings.presentations import recording_trials
from v4egg.recordings.recording import Recording

BIN = 0.01  # s, of the response over time
SPAN = (-0.1, 0.4)  # s around the onset
EARLIEST = 0.03  # s: no response of V4 peaks earlier, and the one to the next image no earlier after its onset
SURPRISE = 5.0  # standard errors by which a response rises, or there is none; many, since the largest bin is chosen
HALF = 0.5  # of the rise
REFRACTORY = 0.0015  # s: shorter intervals between spikes of one neuron are not expected (Hill et al. 2011)
PERIODS = 10  # of the session, of equal numbers of presentations


@dataclass(frozen=True)
class SpikeQuality:
    """What the spikes of one unit tell.

    Attributes:
        rate: spikes/s during the response span of all presentations in which the unit was recorded; NaN without one.
        psth: (bin,), mean spikes/s over presentations, by :data:`BIN` around the onset.
        latency: s after the onset; NaN where there is no response.
        window: start and stop in s of the suggested response window; NaN without a latency.
        refractory_violations: share of intervals between spikes below :data:`REFRACTORY`; NaN with fewer than two
            spikes.
        drift: (period,), mean spikes/s after the onset in consecutive tenths of the presentations; NaN where none was
            recorded.
    """

    rate: float
    psth: np.ndarray
    latency: float
    window: tuple[float, float]
    refractory_violations: float
    drift: np.ndarray


def bins() -> np.ndarray:
    """Return the middles of the bins of :attr:`SpikeQuality.psth`, s after the onset.

    Example:
        >>> len(bins()), bins()[0].round(3)
        (50, np.float64(-0.095))
    """
    edges = _edges()
    middles: np.ndarray = (edges[1:] + edges[:-1]) / 2
    return middles


def spike_quality(recording: Recording, unit: str) -> SpikeQuality:
    """Describe the spikes of one unit of a recording with spikes.

    A response rises from its smallest rate after the onset to its peak, the largest rate before the next image can
    evoke one. Latency is the start of the first bin above half of that rise (half-height latency), and the suggested
    window holds the bins around the peak that are above it. Where images follow each other quickly the rate before the
    onset is no baseline but the response to the image before.

    Args:
        recording: with spikes and trials.
        unit: its id.

    Returns:
        The description; presentations in which the unit was not recorded do not count.

    Source:
        Refractory violations: Hill, Mehta & Kleinfeld 2011 (J Neurosci 31:8699).

    Example:
        >>> import pandas as pd
        >>> onset = np.arange(1.0, 21.0)
        >>> trials = pd.DataFrame({"image": 0, "onset": onset, "offset": onset + 0.2})
        >>> times = np.sort(np.concatenate([onset - 0.033, onset + 0.065, onset + 0.085]))
        >>> images, units = np.zeros((1, 1, 8, 8), "uint8"), pd.DataFrame(index=["s1-u000"])
        >>> quality = spike_quality(Recording("s1", images, units, ["a"], trials, {"s1-u000": times}), "s1-u000")
        >>> round(quality.refractory_violations, 3), quality.psth.max().round(6)
        (0.0, np.float64(100.0))
    """
    onset = np.sort(recording_trials(recording)["onset"].to_numpy("float64"))
    recorded = np.ones(len(onset), bool)
    if recording.recorded is not None:
        recorded = intervals.contain(recording.recorded[unit], onset + SPAN[0], onset + SPAN[1])
    times = np.asarray(recording.spikes[unit], "float64") if recording.spikes is not None else np.empty(0)
    at = np.searchsorted(times, onset[:, None] + _edges()[None])
    rates = np.where(recorded[:, None], np.diff(at, axis=1) / BIN, np.nan)
    after = bins() > 0
    each = rates[:, after].mean(1)
    psth = rates[recorded].mean(0) if recorded.any() else np.full(len(bins()), np.nan)
    latency, suggested = _response(psth, int(recorded.sum()), _last_peak(onset))
    gaps = np.diff(times)
    return SpikeQuality(
        rate=_mean(each),
        psth=psth,
        latency=latency,
        window=suggested,
        refractory_violations=float((gaps < REFRACTORY).mean()) if len(gaps) else np.nan,
        drift=np.array([_mean(part) for part in np.array_split(each, PERIODS)]),
    )


def _edges() -> np.ndarray:
    edges: np.ndarray = np.round(np.arange(SPAN[0], SPAN[1] + BIN / 2, BIN), 9)
    return edges


def _last_peak(onset: np.ndarray) -> float:
    """When the response to the next image can begin, s after the onset."""
    return float(np.median(np.diff(onset))) + EARLIEST if len(onset) > 1 else SPAN[1]


def _response(psth: np.ndarray, presentations: int, last: float) -> tuple[float, tuple[float, float]]:
    """Half-height latency and the window of the response, s; NaN where there is no response."""
    none = np.nan, (np.nan, np.nan)
    middles = bins()
    within = np.flatnonzero((middles > 0) & (middles < last))
    may_peak = within[middles[within] > EARLIEST]
    if not len(may_peak) or not np.isfinite(psth).all():
        return none
    peak = int(may_peak[np.argmax(psth[may_peak])])
    before = within[within <= peak]
    trough = int(before[np.argmin(psth[before])])
    rise = psth[peak] - psth[trough]
    if rise <= SURPRISE * np.sqrt((psth[peak] + psth[trough]) / (presentations * BIN)):  # counts vary as Poisson ones
        return none
    above = psth >= psth[trough] + HALF * rise
    start = trough + int(np.argmax(above[trough:]))
    stop = peak + int(np.argmin(np.append(above[peak : within[-1] + 1], False)))
    return float(_edges()[start]), (float(_edges()[start]), float(_edges()[stop]))


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan
