"""Sessions whose truth is known, and the comparison of a recording with it.

The truth is computed with plain loops and shares no code with the package: which picture each presentation shows, which
spikes each unit fired, and when each unit was recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from v4egg.recordings.recording import Recording

WINDOW = (0.07, 0.17)
INSIDE, OUTSIDE = (0.0705, 0.1695), (0.02, 0.0695, 0.1705, 0.19)  # s after an onset, near the edges of the window


@dataclass
class Presentation:
    """One row of the table of presentations.

    Attributes:
        onset: in s.
        offset: in s.
        picture: number of the picture that is shown; None for a blank.
        kept: whether the filter of presentations keeps it.
    """

    onset: float
    offset: float
    picture: int | None
    kept: bool = True


@dataclass
class TrueSession:
    """What a right reader must find in a session.

    Attributes:
        pictures: by number, uint8 (channel, y, x); also pictures that are never shown.
        presentations: in the order of the table.
        spikes: of each unit that counts, by its row in the units table, its spike times (s).
        recorded: by row, the intervals (s) in which the unit was recorded; a row that is absent was always recorded.
        tolerance: how far a pixel may be off; 1 where transparency over mid-grey may be rounded either way.
    """

    pictures: dict[int, np.ndarray]
    presentations: list[Presentation]
    spikes: dict[int, list[float]]
    recorded: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    tolerance: int = 0

    def shown(self) -> list[Presentation]:
        """The presentations that count, by onset."""
        counting = [one for one in self.presentations if one.kept and one.picture is not None]
        return sorted(counting, key=lambda one: one.onset)

    def count(self, row: int, onset: float) -> float:
        """Spikes of a unit in the response window after an onset; NaN where it was not recorded throughout."""
        start, stop = onset + WINDOW[0], onset + WINDOW[1]
        if row in self.recorded and not any(a <= start and stop <= b for a, b in self.recorded[row]):
            return np.nan
        return float(sum(start <= time < stop for time in self.spikes[row]))


def scheduled(
    order: Sequence[int | None], onsets: Sequence[float], duration: float, units: int, rng: np.random.Generator
) -> TrueSession:
    """A session that shows pictures (by number, None: a blank) at these onsets, with spikes that tell them apart.

    Each unit fires some spikes inside each response window, and some just before and after it.
    """
    presentations = [
        Presentation(float(onset), float(onset) + duration, picture)
        for onset, picture in zip(onsets, order, strict=True)
    ]
    return TrueSession({}, presentations, {row: _spikes(presentations, row, rng) for row in range(units)})


def assert_pictures(recording: Recording, truth: TrueSession) -> None:
    """Each presentation that counts shows its picture, pixel for pixel, and nothing else is in the recording."""
    shown = truth.shown()
    trials = recording.trials.sort_values("onset", kind="stable")
    onsets = [one.onset for one in shown]
    assert len(trials) == len(shown), f"{len(trials)} presentations, not {len(shown)}"
    np.testing.assert_allclose(trials["onset"], onsets, rtol=0, atol=1e-9, err_msg="onsets")
    wrong = [
        one.picture
        for one, position in zip(shown, trials["image"], strict=True)
        if not _same(recording.images[position], truth.pictures[one.picture], truth.tolerance)
    ]
    assert not wrong, f"{len(wrong)} of {len(shown)} presentations show another picture, such as for {wrong[:5]}"
    distinct = len({one.picture for one in shown})
    assert len(recording.images) == distinct, f"{len(recording.images)} images, not {distinct}"
    assert len(set(recording.image_ids)) == distinct, "two images have one id"


def assert_left_out(recording: Recording, truth: TrueSession) -> None:
    """The presentations that were left out are counted."""
    left_out = sum(recording.left_out.values())
    expected = len(truth.presentations) - len(truth.shown())
    assert left_out == expected, f"{left_out} presentations left out, not {expected}: {recording.left_out}"


def assert_units(recording: Recording, truth: TrueSession) -> None:
    """The recording has the units that the filter keeps, under the ids of their rows."""
    expected = [f"{recording.session}-u{row:03d}" for row in truth.spikes]
    assert list(recording.units.index) == expected, f"units {list(recording.units.index)}, not {expected}"


def assert_counts(counts: np.ndarray, recording: Recording, truth: TrueSession) -> None:
    """Each count (image, repeat, unit) is the number of spikes in the window, NaN where there is none to count."""
    expected = np.full(counts.shape, np.nan)
    repeats: dict[int, int] = {}
    trials = recording.trials.sort_values("onset", kind="stable")
    for onset, position in zip([one.onset for one in truth.shown()], trials["image"], strict=True):
        repeat = repeats[position] = repeats.get(position, -1) + 1
        for column, row in enumerate(truth.spikes):
            expected[position, repeat, column] = truth.count(row, onset)
    wrong = ~((counts == expected) | (np.isnan(counts) & np.isnan(expected)))
    if wrong.any():
        image, repeat, unit = np.argwhere(wrong)[0]
        found = f"{counts[image, repeat, unit]:g}, not {expected[image, repeat, unit]:g}"
        raise AssertionError(f"{wrong.sum()} counts are wrong; unit {unit} to image {image} has {found}")


def _spikes(presentations: list[Presentation], row: int, rng: np.random.Generator) -> list[float]:
    found: list[float] = []
    for one in presentations:
        number = 0 if one.picture is None else one.picture
        found += [one.onset + offset for offset in INSIDE if rng.random() < 0.5]
        found += [one.onset + 0.08 + 0.01 * i for i in range((number * (row + 1)) % 7)]
        found += [one.onset + offset for offset in OUTSIDE if rng.random() < 0.5]
    return sorted(found)


def _same(found: np.ndarray, expected: np.ndarray, tolerance: int) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool((np.abs(found.astype(int) - expected.astype(int)) <= tolerance).all())
