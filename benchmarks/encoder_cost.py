"""What training an encoder costs: by architecture, by units, by sessions, as ratios to the first row of each table.

Usage: OMP_NUM_THREADS=1 python benchmarks/encoder_cost.py

Random images and responses: time does not depend on what they are. Each row is the fastest of three epochs.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch

import training_speed
from v4egg.encoders import training
from v4egg.encoders.training_data import TrainingSession

OPTIONS = {**training_speed.OPTIONS, "epochs": 3}
IMAGES = 640
ATTENTION, GAUSSIAN, FACTORIZED = ({"name": name} for name in ("attention", "gaussian", "factorized"))
ARCHITECTURES = {
    "residual core, attention readout": {"core": {"name": "residual"}, "readout": ATTENTION},
    "residual core, Gaussian readout": {"core": {"name": "residual"}, "readout": GAUSSIAN},
    "residual core, factorized readout": {"core": {"name": "residual"}, "readout": FACTORIZED},
    "depth-separable core (stride 4), attention": {
        "core": {"name": "depth_separable", "first_stride": 4},
        "readout": ATTENTION,
    },
}


class EpochTimes:
    """A progress bar that notes when each epoch began."""

    def __call__(self, epochs: range):
        self.marks = []
        for epoch in epochs:
            self.marks.append(time.perf_counter())
            yield epoch
        self.marks.append(time.perf_counter())

    def fastest(self) -> float:
        return min(np.diff(self.marks))


def sessions_of(n_sessions: int, n_units: int) -> list[TrainingSession]:
    """``IMAGES`` images and ``n_units`` units over all sessions together."""
    generator, n, units = np.random.default_rng(0), IMAGES // n_sessions, n_units // n_sessions
    return [
        TrainingSession(
            session=f"s{s}",
            units=[f"s{s}-u{i:03d}" for i in range(units)],
            images=generator.integers(0, 255, (n, 3, 56, 56), dtype=np.uint8),
            target=generator.random((n, units), np.float32),
            trials=np.ones((n, units), np.float32),
            train=np.arange(n),
            validation=np.arange(8),
        )
        for s in range(n_sessions)
    ]


def seconds_an_image(sessions: Sequence[TrainingSession], architecture: dict) -> float:
    times = EpochTimes()
    training.train_member(sessions, architecture, OPTIONS, seed=0, progress=times)
    return times.fastest() / IMAGES


def table(title: str, rows: dict[str, tuple[list[TrainingSession], dict]]) -> None:
    print(f"\n{title:45} ms/image   ratio")
    baseline = None
    for name, (sessions, architecture) in rows.items():
        seconds = seconds_an_image(sessions, architecture)
        baseline = baseline or seconds
        print(f"{name:45} {seconds * 1e3:8.2f} {seconds / baseline:7.2f}", flush=True)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    attention = ARCHITECTURES["residual core, attention readout"]
    table("architecture, 32 units", {name: (sessions_of(1, 32), spec) for name, spec in ARCHITECTURES.items()})
    table("units of one session", {str(n): (sessions_of(1, n), attention) for n in (32, 128, 512, 1244)})
    table("sessions, 320 units in all", {str(n): (sessions_of(n, 320), attention) for n in (1, 2, 5, 10)})


if __name__ == "__main__":
    main()
