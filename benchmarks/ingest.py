"""Seconds and peak memory that it takes to read a long session from NWB and to store it as a recording.

Usage: python benchmarks/ingest.py [--hours 1] [--units 200] [--images 2000] [--rate 10] [--raw-gigabytes 0]

Writes an NWB file of random spikes and pictures into a temporary folder, reads and stores it in a process of its own,
and prints one line. Memory is the largest resident set of that process. --raw-gigabytes adds a raw recording of zeros,
which takes no room on the disk, to show that its size does not matter.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np

PERIOD = 0.3  # s from one onset to the next


def write(path: Path, hours: float, units: int, images: int, rate: float, side: int, raw_gigabytes: float) -> None:
    """A session with that many units and pictures; each presentation shows one of the pictures at random."""
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.base import ImageReferences, Images
    from pynwb.epoch import TimeIntervals
    from pynwb.image import GrayscaleImage

    generator = np.random.default_rng(0)
    nwb = NWBFile("ingest", "ingest", datetime(2024, 1, 1, tzinfo=UTC))
    seconds = 3600 * hours
    for _ in range(units):
        nwb.add_unit(spike_times=np.sort(generator.uniform(0, seconds, generator.poisson(rate * seconds))))
    onset = np.arange(1.0, seconds - 1, PERIOD)
    positions = generator.permutation(np.resize(np.arange(images), len(onset)))
    table = TimeIntervals(name="presentations", description="what was shown")
    for start in onset:
        table.add_row(start_time=start, stop_time=start + 0.2)
    table.add_column("stimulus_id", "the image", data=[f"picture_{k:05d}" for k in positions])
    nwb.add_time_intervals(table)
    pictures = [
        GrayscaleImage(name=f"picture_{k:05d}", data=generator.integers(0, 256, (side, side), "uint8"))
        for k in range(images)
    ]
    order = ImageReferences(name="order_of_images", data=pictures)
    nwb.add_stimulus_template(Images(name="images", images=pictures, description="shown", order_of_images=order))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    if raw_gigabytes:
        add_raw(path, raw_gigabytes, seconds)


def add_raw(path: Path, gigabytes: float, seconds: float) -> None:
    """A raw recording of that size, in chunks that were never written."""
    from hdmf.backends.hdf5 import H5DataIO
    from pynwb import NWBHDF5IO
    from pynwb.ecephys import ElectricalSeries

    samples, channels = int(gigabytes * 1e9 / 2 / 384), 384
    with NWBHDF5IO(path, "a") as io:
        nwb = io.read()
        device = nwb.create_device("probe")
        group = nwb.create_electrode_group("probe", "probe", "V4", device)
        for _ in range(channels):
            nwb.add_electrode(group=group, location="V4")
        region = nwb.create_electrode_table_region(list(range(channels)), "all")
        data = H5DataIO(shape=(samples, channels), dtype="int16", chunks=(4096, channels))
        nwb.add_acquisition(
            ElectricalSeries(name="raw", data=data, electrodes=region, starting_time=0.0, rate=samples / seconds)
        )
        io.write(nwb)


def ingest(path: Path) -> dict[str, float]:
    """Read and store the session, and count its spikes; seconds of each and the peak memory of this process in MB."""
    from v4egg.recordings.readers import read_recording
    from v4egg.recordings.recording import load_recording
    from v4egg.recordings.responses import count_spikes

    begin = time.perf_counter()
    entry = {"format": "nwb", "file": str(path), "columns": {"axes": "yx"}}
    read_recording("s1", entry, str(path)).save(path.with_suffix(".zarr"))
    stored = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    counts = count_spikes(load_recording(path.with_suffix(".zarr")))
    return {
        "seconds": stored - begin,
        "memory": memory,
        "counting": time.perf_counter() - stored,
        "counted": float(np.nansum(counts)),
    }


def understand(path: Path) -> dict[str, float]:
    """Decide what is what in the file, without its spikes and pixels; seconds, and the peak memory in MB."""
    from v4egg.recordings.readers.notes import Notes
    from v4egg.recordings.readers.nwb_file import opened
    from v4egg.recordings.readers.nwb_layout import DEFAULT_COLUMNS
    from v4egg.recordings.readers.nwb_layout import understand as decide

    begin = time.perf_counter()
    with opened(path) as nwb:
        decide(path, nwb, "s1", DEFAULT_COLUMNS, Notes())
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_a_process(step: str, path: Path) -> dict[str, float]:
    """The numbers that one step prints in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--step", step, "--file", str(path)]
    numbers: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=10.0, help="spikes/s of a unit")
    parser.add_argument("--side", type=int, default=128, help="pixels per side of a picture")
    parser.add_argument("--raw-gigabytes", type=float, default=0.0)
    parser.add_argument("--step", choices=["ingest", "understand"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps({"ingest": ingest, "understand": understand}[given.step](given.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.nwb"
        arguments = (path, given.hours, given.units, given.images, given.rate, given.side, given.raw_gigabytes)
        writer = get_context("spawn").Process(target=write, args=arguments)  # a process inherits the peak of its parent
        writer.start()
        writer.join()
        understood, read = in_a_process("understand", path), in_a_process("ingest", path)
    spikes = given.hours * 3600 * given.units * given.rate
    print(
        f"{given.hours:g} h, {given.units} units, {spikes / 1e6:.1f} million spikes, {given.images} images: read and "
        f"stored in {read['seconds']:.1f} s and {read['memory']:.0f} MB; counted in {read['counting']:.1f} s; "
        f"understood in {understood['seconds']:.1f} s and {understood['memory']:.0f} MB"
    )


if __name__ == "__main__":
    main()
