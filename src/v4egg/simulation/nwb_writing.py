"""A simulated session as an NWB file."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import h5py
import numpy as np
from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import ImageReferences, Images
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import RGBImage
from pynwb.misc import Units

from v4egg.io.files import replacing
from v4egg.seeding import seed_of
from v4egg.simulation.spikes import CLOCK, OFF_TIME, ON_TIME, Schedule

_PAGE_BYTES = 2**20  # HDF5 metadata are gathered in pages, so that streaming needs few requests


def write_session(
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
        resolution=1 / CLOCK,
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
