"""Presentations and the response window: which of them any unit was recorded in, and which the window does not fit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from v4egg.errors import V4eggError
from v4egg.recordings import intervals
from v4egg.recordings.recording import Recording

SLACK = 0.05  # of the window: onsets and offsets jitter by a video frame


@dataclass(frozen=True)
class WindowFit:
    """How the presentations of a session fit the response window, in numbers of presentations.

    Attributes:
        presentations: all of them.
        shorter: those that last for less time than the window, by more than :data:`SLACK` of it.
        overlapping: those whose window starts before that of the one before has ended, by more than :data:`SLACK`:
            their spikes are counted twice.
        unrecorded: those in whose window no unit was recorded throughout.
    """

    presentations: int
    shorter: int
    overlapping: int
    unrecorded: int

    def words(self) -> list[str]:
        """One line for each number that is not 0.

        Example:
            >>> WindowFit(20, shorter=3, overlapping=0, unrecorded=1).words()
            ['3 of 20 presentations are shorter than the response window', '1 of 20 presentations has no unit recorded']
        """
        verb = {True: ("is", "has"), False: ("are", "have")}
        texts = {
            "shorter": "{0} shorter than the response window",
            "overlapping": "{0} followed by another before the response window ends: those spikes count twice",
            "unrecorded": "{1} no unit recorded",
        }
        numbers = {name: getattr(self, name) for name in texts}
        return [
            f"{number} of {self.presentations} presentations {texts[name].format(*verb[number == 1])}"
            for name, number in numbers.items()
            if number
        ]


def window_fit(recording: Recording, window: tuple[float, float]) -> WindowFit:
    """Compare the presentations of a recording with spikes with the response window.

    Args:
        recording: with spikes and trials.
        window: start and stop, seconds after the onset.

    Returns:
        The numbers of presentations that need a look.
    """
    trials = recording_trials(recording)
    start, stop = window
    slack = SLACK * (stop - start)
    onset, offset = trials["onset"].to_numpy("float64"), trials["offset"].to_numpy("float64")
    return WindowFit(
        presentations=len(trials),
        shorter=int((offset - onset < stop - start - slack).sum()),  # false where the offset is unknown
        overlapping=int((np.diff(np.sort(onset)) < stop - start - slack).sum()),
        unrecorded=int((~recorded_by_any(recording, window)).sum()),
    )


def recorded_by_any(recording: Recording, window: tuple[float, float]) -> np.ndarray:
    """Tell for each presentation whether any unit was recorded throughout its response window.

    Args:
        recording: with spikes and trials.
        window: start and stop, seconds after the onset.

    Returns:
        bool (trial,), in the order of ``recording.trials``.
    """
    onset = recording_trials(recording)["onset"].to_numpy("float64")
    if recording.recorded is None:
        return np.ones(len(onset), bool)
    seen = np.zeros(len(onset), bool)
    for unit in recording.units.index:
        seen |= intervals.contain(recording.recorded[unit], onset + window[0], onset + window[1])
    return seen


def count_presentations(recording: Recording, window: tuple[float, float] | None = None) -> np.ndarray:
    """Count how often each image was shown, or how often while any unit was recorded.

    Args:
        recording: with spikes and trials, or with counts.
        window: start and stop, seconds after the onset: only presentations with a unit recorded throughout it count;
            None: all. Does not matter to a recording with counts.

    Returns:
        int64 (image,): the number of trials with the image or, for a recording without trials, the number of repeats in
        which any unit has a count, times the number of trials that each count averages.
    """
    if recording.counts is not None:
        return np.isfinite(recording.counts).any(axis=2).sum(axis=1) * recording.repeats_averaged
    shown = recording_trials(recording)["image"].to_numpy("int64")
    if window is not None:
        shown = shown[recorded_by_any(recording, window)]
    return np.bincount(shown, minlength=len(recording.images)).astype("int64")


def recording_trials(recording: Recording) -> pd.DataFrame:
    """Return the trials of a recording.

    Raises:
        V4eggError: there are none, or a trial shows an image that does not exist.
    """
    if recording.trials is None or len(recording.trials) == 0:
        raise V4eggError(f"session {recording.session}: no presentation; check the column map of the trials table")
    image = recording.trials["image"].to_numpy("int64")
    outside = (image < 0) | (image >= len(recording.images))
    if outside.any():
        raise V4eggError(
            f"session {recording.session}: a trial shows image {image[outside][0]} of {len(recording.images)}; "
            "correct the trials table"
        )
    return recording.trials
