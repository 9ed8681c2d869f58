"""What reading a file of known truth comes to: right, refused in one line, or a third thing that must not be."""

import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwb_layouts import Layout, Written
from nwb_writer import write
from true_sessions import WINDOW, assert_counts, assert_left_out, assert_pictures, assert_units
from v4egg.errors import V4eggError
from v4egg.recordings.readers import read_recording
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import count_spikes, make_responses

NUMERICAL = ("numpy", "pandas", "v4egg")  # packages from whose code no warning may come


@dataclass(frozen=True)
class Outcome:
    """``kind`` is right, refused, wrong, raised or warned; ``message`` says what happened."""

    kind: str
    message: str = ""


def outcome(layout: Layout, folder: Path) -> Outcome:
    """Write a layout, read it through the front door, and compare it with its truth."""
    return outcome_of(write(layout, folder))


def outcome_of(written: Written) -> Outcome:
    """Read a file through the front door, and compare the recording and its counts with the truth."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _compare(written)
        except V4eggError as error:
            return Outcome("raised" if "\n" in str(error) else "refused", str(error))
        except AssertionError as error:
            return Outcome("wrong", str(error))
        except Exception:
            return Outcome("raised", traceback.format_exc())
    numerical = [str(one.message) for one in caught if _is_numerical(one)]
    return Outcome("warned", numerical[0]) if numerical else Outcome("right")


def read(entry: Mapping[str, Any], images: Mapping[str, Any]) -> Recording:
    """The recording of an entry under ``sessions`` of a configuration whose key ``images`` is given."""
    return read_recording("s1", entry, entry.get("file") or entry["folder"], **images)


def _compare(written: Written) -> None:
    recording = read(written.entry, written.images)
    truth = written.truth
    assert_pictures(recording, truth)
    assert_units(recording, truth)
    assert_left_out(recording, truth)
    counts = count_spikes(recording, WINDOW)
    assert_counts(counts, recording, truth)
    split = np.where(np.isfinite(counts).any(axis=(1, 2)), "train", "excluded")
    assert_counts(make_responses(recording, split, window=WINDOW).counts, recording, truth)


def _is_numerical(warning: warnings.WarningMessage) -> bool:
    modules = [Path(warning.filename).parts]
    return issubclass(warning.category, RuntimeWarning | FutureWarning) or any(
        package in parts for parts in modules for package in NUMERICAL
    )
