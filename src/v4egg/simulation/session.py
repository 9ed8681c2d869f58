"""A simulated session: photographs shown to a :class:`SimulatedBrain`, whose spikes are written as an NWB file."""

from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.recordings.readers.reader import ReaderOptions
from v4egg.recordings.recording import Recording
from v4egg.registry import Integers, Options
from v4egg.seeding import numpy_generator
from v4egg.simulation.brain import SimulatedBrain, save_brain
from v4egg.simulation.nwb_writing import write_session
from v4egg.simulation.spikes import draw_schedule, draw_spikes, unreliable_spikes


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
    spikes += [unreliable_spikes(len(images), schedule, (*key, "unreliable", i)) for i in range(n_unreliable)]
    write_session(Path(path_nwb), session, seed, images, names, schedule, spikes)
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
