"""An NWB file that is large but takes no room: its large datasets are chunked and never written."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.image import OpticalSeries
from pynwb.misc import Units

FRAMES, SIDE, UNITS, SPIKES = 20_000, 1024, 200, 1_000_000  # 21 GB of frames, 1.6 GB of spike times
PRESENTATIONS = 20_000


def write_large(path: Path) -> Path:
    """A stack of 20,000 frames of a megabyte each, 200 units of a million spikes, and 20,000 presentations."""
    nwb = NWBFile("large", "large", datetime(2024, 1, 1, tzinfo=UTC))
    frames = H5DataIO(shape=(FRAMES, SIDE, SIDE), dtype=np.dtype("uint8"), chunks=(1, SIDE, SIDE))
    place = {"distance": 0.5, "field_of_view": [1.0, 1.0], "orientation": "up"}
    nwb.add_stimulus_template(OpticalSeries(name="frames", data=frames, rate=10.0, unit="n.a.", **place))
    times = VectorData(
        name="spike_times",
        description="s",
        data=H5DataIO(shape=(UNITS * SPIKES,), dtype=np.dtype("float64"), chunks=(100_000,)),
    )
    ends = VectorIndex(name="spike_times_index", target=times, data=SPIKES * np.arange(1, UNITS + 1))
    nwb.units = Units(name="units", description="units", columns=[times, ends], id=np.arange(UNITS))
    onsets = np.arange(PRESENTATIONS) * 0.3
    table = TimeIntervals(
        name="presentations",
        description="what was shown",
        columns=[
            VectorData(name="start_time", description="s", data=onsets),
            VectorData(name="stop_time", description="s", data=onsets + 0.2),
            VectorData(name="stimulus_id", description="frame", data=np.arange(PRESENTATIONS) % FRAMES),
        ],
        id=np.arange(PRESENTATIONS),
    )
    nwb.add_time_intervals(table)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path
