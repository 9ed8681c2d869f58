"""The schedule of a simulated session and the spikes of its units.

The protocol is that of Pierzchlewicz et al. (2023): presentations of 120 ms, 15 per trial. Spikes follow inhomogeneous
Poisson processes with a gain per trial that all units share, a simple model of correlated variability in cortex (Goris
et al. 2014).
"""

from dataclasses import dataclass

import numpy as np

from v4egg.seeding import numpy_generator

COUNT_WINDOW = (0.07, 0.17)  # s after onset; the expected count in it is the output of the brain
ON_TIME, OFF_TIME = 0.12, 0.08  # s
IMAGES_A_TRIAL = 15
_OFF_JITTER = 0.01  # s, at most, added to the gap
_TRIAL_GAP = 1.0  # s, mean
_LEAD = 1.0  # s before the first trial and after the last
GAIN_SD = 0.15  # of the logarithm of a trial's gain
_LATENCIES = (0.06, 0.10)  # s
_RESPONSE_END = 0.27  # s after onset: the earliest start of the next presentation's window, so that none overlap
CLOCK = 30_000  # Hz: spike times are rounded to the clock of an amplifier


@dataclass
class Schedule:
    """The presentations of a session.

    Attributes:
        image: (presentation,) position of the image in the list of images.
        trial: (presentation,) trial number from 0.
        onset: (presentation,) s, ascending.
        gain: (trial,) factor on all rates, with mean 1.
        duration: of the session, s.

    Example:
        >>> schedule = draw_schedule(np.array([2, 1]), ("example",))
        >>> sorted(schedule.image.tolist()), schedule.trial.tolist()
        ([0, 0, 1], [0, 0, 0])
    """

    image: np.ndarray
    trial: np.ndarray
    onset: np.ndarray
    gain: np.ndarray
    duration: float


def draw_schedule(repeats: np.ndarray, key: tuple[object, ...]) -> Schedule:
    """Draw a random order of presentations.

    Args:
        repeats: (image,) number of presentations of each image.
        key: identifies the random draw.
    """
    generator = numpy_generator(*key, "schedule")
    image = generator.permutation(np.repeat(np.arange(len(repeats)), repeats))
    trial = np.arange(len(image)) // IMAGES_A_TRIAL
    gaps = OFF_TIME + generator.uniform(0, _OFF_JITTER, len(image))
    gaps[IMAGES_A_TRIAL - 1 :: IMAGES_A_TRIAL] += generator.uniform(0.5, 1.5, len(gaps) // IMAGES_A_TRIAL) * _TRIAL_GAP
    onset = _LEAD + np.concatenate([[0.0], np.cumsum(ON_TIME + gaps)[:-1]])
    gain = np.exp(generator.normal(-(GAIN_SD**2) / 2, GAIN_SD, trial[-1] + 1))
    return Schedule(image, trial, onset, gain, onset[-1] + ON_TIME + _LEAD)


def draw_spikes(expected: np.ndarray, baseline: float, schedule: Schedule, key: tuple[object, ...]) -> np.ndarray:
    """Draw the spikes of one unit.

    Args:
        expected: (image,) expected count in the count window, including the baseline.
        baseline: expected count of the spontaneous activity in such a window.
        schedule: presentations and gains of the trials.
        key: identifies the random draw of latency and spikes.

    Returns:
        Spike times (s, ascending).

    Example:
        >>> schedule = draw_schedule(np.array([5]), ("example",))
        >>> spikes = draw_spikes(np.array([20.0]), 0.0, schedule, ("example", "unit"))
        >>> bool((np.diff(spikes) >= 0).all())
        True
    """
    generator = numpy_generator(*key)
    times, cumulative = _profile(generator.uniform(*_LATENCIES), generator.uniform(0.3, 1.0))
    driven = (expected[schedule.image] - baseline) * schedule.gain[schedule.trial]
    number = generator.poisson(np.maximum(driven, 0) * cumulative[-1])
    delays = np.interp(generator.uniform(0, cumulative[-1], number.sum()), cumulative, times)
    evoked = np.repeat(schedule.onset, number) + delays
    times = np.concatenate([evoked, _spontaneous(baseline, schedule, generator)])
    return np.sort(np.round(times * CLOCK)) / CLOCK


def _profile(latency: float, sustained: float) -> tuple[np.ndarray, np.ndarray]:
    """Times after onset (s) and the integral of the response's rate up to them; the integral over the window is 1.

    The rate is a transient on a plateau, from the latency on; it decays once the image has ended and is 0 from 270 ms.
    """
    times = np.linspace(0, _RESPONSE_END, 1081)
    since = times - latency
    transient = np.exp(-np.maximum(since, 0) / 0.03)
    rate = np.where(since > 0, 1 - np.exp(-np.maximum(since, 0) / 0.005), 0) * (sustained + 2 * transient)
    rate *= np.exp(-np.maximum(since - ON_TIME, 0) / 0.012)
    cumulative = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(times))])
    start, stop = np.interp(COUNT_WINDOW, times, cumulative)
    return times, cumulative / (stop - start)


def _spontaneous(baseline: float, schedule: Schedule, generator: np.random.Generator) -> np.ndarray:
    """Spikes of a constant rate times the gain of the trial, where a trial lasts until the next one starts."""
    starts = schedule.onset[np.flatnonzero(np.diff(schedule.trial, prepend=-1))]
    edges = np.concatenate([[0.0], starts, [schedule.duration]])
    gains = np.concatenate([[1.0], schedule.gain])
    rate = baseline / (COUNT_WINDOW[1] - COUNT_WINDOW[0])
    number = generator.poisson(rate * gains * np.diff(edges))
    return generator.uniform(np.repeat(edges[:-1], number), np.repeat(edges[1:], number))


def unreliable_spikes(n_images: int, schedule: Schedule, key: tuple[object, ...]) -> np.ndarray:
    mean_count = numpy_generator(*key, "rate").uniform(1.0, 4.0)
    return draw_spikes(np.full(n_images, mean_count), 0.4 * mean_count, schedule, key)
