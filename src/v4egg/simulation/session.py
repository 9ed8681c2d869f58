"""A simulated session: photographs shown to a :class:`SimulatedBrain`, whose spikes are written as an NWB file.

The protocol is that of Pierzchlewicz et al. (2023): presentations of 120 ms, 15 per trial. Spikes follow inhomogeneous
Poisson processes with a gain per trial that all units share, a simple model of correlated variability in cortex (Goris
et al. 2014).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import h5py
import numpy as np
import torch
from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
from pydantic import Field
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import ImageReferences, Images
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import RGBImage
from pynwb.misc import Units

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.io.files import replacing
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import Recording
from v4egg.registry import Integers, Options
from v4egg.seeding import numpy_generator, seed_of
from v4egg.simulation.brain import SimulatedBrain, save_brain

COUNT_WINDOW = (0.07, 0.17)  # s after onset; the expected count in it is the output of the brain
ON_TIME, OFF_TIME = 0.12, 0.08  # s
IMAGES_A_TRIAL = 15
_OFF_JITTER = 0.01  # s, at most, added to the gap
_TRIAL_GAP = 1.0  # s, mean
_LEAD = 1.0  # s before the first trial and after the last
GAIN_SD = 0.15  # of the logarithm of a trial's gain
_LATENCIES = (0.06, 0.10)  # s
_RESPONSE_END = 0.27  # s after onset: the earliest start of the next presentation's window, so that none overlap
_CLOCK = 30_000  # Hz: spike times are rounded to the clock of an amplifier
_PAGE_BYTES = 2**20  # HDF5 metadata are gathered in pages, so that streaming needs few requests


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


def simulate(
    path_nwb: str | Path,
    path_brain: str | Path,
    session: str,
    *,
    n_units: int,
    n_silent: int,
    n_unreliable: int,
    n_images: int,
    n_test_images: int,
    repeats: tuple[int, int],
    test_repeats: int,
    image_size: int,
    seed: int,
) -> None:
    """Simulate a session; write it as an NWB file, and the simulated brain as a store of kind ``weights``.

    The units table contains first the ``n_units`` units of the brain in its order, then ``n_silent`` units that never
    fire, then ``n_unreliable`` units whose rate does not depend on the image. The expected count of a brain unit from
    70 to 170 ms after an onset is exactly the output of the brain for the image; responses end before the window of the
    next image. The same arguments give the same data (except for the file's object ids and creation date).

    Args:
        path_nwb: the HDF5 file to write; its folder is created.
        path_brain: the store to write, for :func:`v4egg.simulation.brain.load_brain`.
        session: session id, such as ``sim01``.
        n_units: number of units of the brain.
        n_silent: number of silent units.
        n_unreliable: number of unreliable units.
        n_images: number of images from the fit part of the photographs; they come first in the list of images.
        n_test_images: number of images from the test part; they come last.
        repeats: lowest and highest number of presentations of an image of the fit part, drawn uniformly.
        test_repeats: number of presentations of a test image, plus or minus one.
        image_size: side of the images in px.
        seed: of the brain, the selection of images, their order and the spikes.

    Raises:
        V4eggError: the numbers are out of range.
    """
    low, high = repeats
    if min(n_units, n_images) < 1 or min(n_silent, n_unreliable, n_test_images) < 0 or not 1 <= low <= high:
        raise V4eggError(
            f"simulated session {session}: n_units {n_units} and n_images {n_images} must be at least 1, n_silent "
            f"{n_silent}, n_unreliable {n_unreliable} and n_test_images {n_test_images} at least 0, and repeats "
            f"{low} to {high} ascending from at least 1; correct these numbers"
        )
    if n_test_images and test_repeats < 2:
        raise V4eggError(f"simulated session {session}: test_repeats is {test_repeats}; give at least 2")
    key = ("simulated session", seed, session)
    images, names = _images(n_images, n_test_images, image_size, key)
    brain = SimulatedBrain(n_units, image_size, seed, session)
    n_presentations = _repeats(n_images, n_test_images, repeats, test_repeats, key)
    schedule = draw_schedule(n_presentations, key)
    expected = expected_counts(brain, images)
    baseline = brain.baseline.double().numpy()
    spikes = [draw_spikes(expected[:, i], baseline[i], schedule, (*key, "unit", i)) for i in range(n_units)]
    spikes += [np.zeros(0)] * n_silent
    spikes += [_unreliable_spikes(len(images), schedule, (*key, "unreliable", i)) for i in range(n_unreliable)]
    _write(Path(path_nwb), session, seed, images, names, schedule, spikes)
    save_brain(brain, path_brain, seed=seed)


@torch.no_grad()
def expected_counts(brain: SimulatedBrain, images: np.ndarray) -> np.ndarray:
    """Compute the brain's noise-free counts.

    Args:
        brain: the brain.
        images: uint8 (image, 3, y, x).

    Returns:
        float64 (image, unit), spikes per window.
    """
    starts = range(0, len(images), 100)
    batches = [torch.from_numpy(images[start : start + 100]).float() / 255 for start in starts]
    counts: np.ndarray = torch.cat([brain(batch) for batch in batches]).double().numpy()
    return counts


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
    return np.sort(np.round(times * _CLOCK)) / _CLOCK


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


def _unreliable_spikes(n_images: int, schedule: Schedule, key: tuple[object, ...]) -> np.ndarray:
    mean_count = numpy_generator(*key, "rate").uniform(1.0, 4.0)
    return draw_spikes(np.full(n_images, mean_count), 0.4 * mean_count, schedule, key)


def _images(n_fit: int, n_test: int, size: int, key: tuple[object, ...]) -> tuple[np.ndarray, list[str]]:
    parts = [photograph_crops(n_fit, size, "fit", key)[0], photograph_crops(n_test, size, "test", key)[0]]
    names = [f"fit_{i:05d}" for i in range(n_fit)] + [f"test_{i:05d}" for i in range(n_test)]
    return np.concatenate(parts), names


def _repeats(
    n_fit: int, n_test: int, repeats: tuple[int, int], test_repeats: int, key: tuple[object, ...]
) -> np.ndarray:
    generator = numpy_generator(*key, "repeats")
    fit = generator.integers(repeats[0], repeats[1] + 1, n_fit)
    return np.concatenate([fit, test_repeats + generator.integers(-1, 2, n_test)])


def _write(
    path: Path,
    session: str,
    seed: int,
    images: np.ndarray,
    names: list[str],
    schedule: Schedule,
    spikes: list[np.ndarray],
) -> None:
    """Write the NWB file completely or not at all."""
    nwb = _session(session, seed)
    _add_units(nwb, spikes)
    _add_stimuli(nwb, images, names, schedule)
    with (
        replacing(path) as temporary,
        h5py.File(temporary, "w", fs_strategy="page", fs_page_size=_PAGE_BYTES) as file,
        NWBHDF5IO(file=file, mode="w") as io,
    ):
        io.write(nwb)


def _session(session: str, seed: int) -> NWBFile:
    nwb = NWBFile(
        session_description="Simulated responses of macaque V4 units to crops of natural photographs",
        identifier=str(UUID(int=seed_of("nwb", seed, session) << 64)),
        session_start_time=datetime(2024, 1, 1, 12, tzinfo=UTC),
        session_id=session,
        experimenter=["Simulation, A."],
        institution="none (simulated)",
        lab="none (simulated)",
        experiment_description="A SimulatedBrain of v4egg; no animal took part.",
        keywords=["simulation", "macaque", "V4", "natural images"],
    )
    nwb.subject = Subject(
        subject_id="simulated",
        species="Macaca mulatta",
        sex="U",
        age="P8Y",
        description="A simulated animal: every spike in this file is computed.",
    )
    return nwb


def _add_units(nwb: NWBFile, spikes: list[np.ndarray]) -> None:
    device = nwb.create_device(name="array", description="Simulated multi-electrode array", manufacturer="none")
    group = nwb.create_electrode_group(
        name="V4", description="Simulated array in area V4", location="V4", device=device
    )
    for _ in spikes:
        nwb.add_electrode(group=group, location="V4")
    # whole columns, because add_unit checks the type of each number
    times = VectorData(name="spike_times", description="Spike times (s)", data=np.concatenate(spikes))
    ends = VectorIndex(name="spike_times_index", target=times, data=np.cumsum([len(unit) for unit in spikes]))
    rows = np.arange(len(spikes))
    electrodes = DynamicTableRegion(name="electrodes", description="Its electrode", data=rows, table=nwb.electrodes)
    one_each = VectorIndex(name="electrodes_index", target=electrodes, data=rows + 1)
    nwb.units = Units(
        name="units",
        description="Simulated units",
        resolution=1 / _CLOCK,
        columns=[times, ends, electrodes, one_each],
        id=rows,
    )


def _add_stimuli(nwb: NWBFile, images: np.ndarray, names: list[str], schedule: Schedule) -> None:
    pictures = [
        RGBImage(name=name, data=image.transpose(1, 2, 0), description="Crop of a photograph")
        for name, image in zip(names, images, strict=True)
    ]
    order = ImageReferences(name="order_of_images", data=pictures)
    nwb.add_stimulus_template(
        Images(name="natural_images", images=pictures, order_of_images=order, description="All images of the session")
    )
    columns = {
        "start_time": ("Start of the presentation (s)", schedule.onset),
        "stop_time": ("End of the presentation (s)", schedule.onset + ON_TIME),
        "stimulus_id": ("Name of the image in natural_images", np.array(names, object)[schedule.image]),
        "trial": ("Trial number, from 0", schedule.trial),
    }
    presentations = TimeIntervals(
        name="presentations",
        description="One row per presentation",
        columns=[VectorData(name=name, description=text, data=data) for name, (text, data) in columns.items()],
        id=np.arange(len(schedule.image)),
    )
    nwb.add_time_intervals(presentations)
    last = np.flatnonzero(np.diff(schedule.trial, append=-1))
    first = np.concatenate([[0], last[:-1] + 1])
    for i, j in zip(first, last, strict=True):
        nwb.add_trial(start_time=float(schedule.onset[i]), stop_time=float(schedule.onset[j] + ON_TIME + OFF_TIME))


class Simulation(Options):
    """Numbers of a simulated session."""

    n_units: int = Field(32, ge=1, description="Responsive units.")
    n_silent: int = Field(2, ge=0, description="Units that never spike.")
    n_unreliable: int = Field(2, ge=0, description="Units whose rate ignores the image.")
    n_images: int = Field(1000, ge=8, description="Images that fit.")
    n_test_images: int = Field(100, ge=4, description="Repeated test images.")
    repeats: Integers = Field(
        (1, 3),
        min_length=2,
        max_length=2,
        description="Fewest and most presentations of a fit image.",
        json_schema_extra={"items": {"type": "integer", "minimum": 1}},
    )
    test_repeats: int = Field(10, ge=2, description="Presentations of a test image, give or take one.")
    image_size: int = Field(64, ge=16, description="Pixels per side.")


class Simulated(ReaderOptions):
    """A session that the workflow simulates, read from the NWB file that it writes."""

    simulation: Simulation = Simulation()

    def read(self, session: str, path: str, background: float = 0.5) -> Recording:
        """See :func:`v4egg.recordings.readers.nwb.read_nwb`."""
        return read_nwb(path, session, columns={"axes": "yx"})
