"""Speed of windowed counting on one core, and its ratio to a loop over presentations.

Usage: python benchmarks/count_spikes.py [--minutes 60] [--units 200] [--images 2000] [--interval 0.3]

Counts the spikes of Poisson units at several rates in a window after each presentation, as the workflow does
(`v4egg.recordings.responses.count_spikes`, with the spikes in memory), and by the loop that anyone would write first,
on some units. Both must agree exactly. Seconds are CPU time, the best of three runs. The cost is mostly that of the
presentations, so that few spikes per presentation mean few spikes per second.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import count_spikes

RATES = (1.0, 5.0, 20.0, 50.0)  # spikes per second
WINDOW = (0.07, 0.17)
LOOPED = 2  # units that the loop counts


def session(rate: float, minutes: float, units: int, images: int, interval: float) -> Recording:
    """Images in random order every ``interval`` s, and units that fire at random."""
    rng, duration = np.random.default_rng(0), 60 * minutes
    onset = np.arange(0.5, duration - 1, interval)
    trials = pd.DataFrame({"image": rng.integers(0, images, len(onset)), "onset": onset, "offset": onset + 0.1})
    names = [f"s1-u{unit:03d}" for unit in range(units)]
    spikes = {name: np.sort(rng.uniform(0, duration, rng.poisson(rate * duration))) for name in names}
    pixels = np.zeros((images, 1, 1, 1), "uint8")
    return Recording("s1", pixels, pd.DataFrame(index=names), list(map(str, range(images))), trials, spikes)


def loop(recording: Recording, units: list[str]) -> np.ndarray:
    """The counts (image, repeat, unit) of some units, presentation by presentation."""
    assert recording.trials is not None and recording.spikes is not None
    counts: list[list[list[int]]] = [[] for _ in recording.image_ids]
    spikes = [recording.spikes[unit] for unit in units]
    for image, onset in zip(recording.trials["image"], recording.trials["onset"], strict=True):
        first, last = onset + WINDOW[0], onset + WINDOW[1]
        counts[image].append([int(((times >= first) & (times < last)).sum()) for times in spikes])
    result = np.full((len(counts), max(map(len, counts)), len(units)), np.nan, "float32")
    for image, rows in enumerate(counts):
        result[image, : len(rows)] = np.reshape(rows, (-1, len(units)))
    return result


def seconds(run: Callable[[], np.ndarray], times: int = 3) -> tuple[float, np.ndarray]:
    """Shortest CPU time of a function, and what it returns."""
    best = np.inf
    for _ in range(times):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="length of the session")
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--interval", type=float, default=0.3, help="seconds from onset to onset")
    arguments = parser.parse_args()
    print("spikes / s | million spikes | seconds | million spikes / s | times faster than the loop")
    print("---|---|---|---|---")
    for rate in RATES:
        recording = session(rate, **vars(arguments))
        assert recording.spikes is not None
        spikes = sum(map(len, recording.spikes.values()))
        ours, counts = seconds(partial(count_spikes, recording, WINDOW))
        some = list(recording.units.index[:LOOPED])
        naive, looped = seconds(partial(loop, recording, some), 1)
        np.testing.assert_array_equal(counts[..., : len(some)], looped)
        ratio = naive / len(some) * arguments.units / ours
        print(f"{rate:g} | {spikes / 1e6:.2f} | {ours:.2f} | {spikes / ours / 1e6:.0f} | {ratio:.0f}", flush=True)


if __name__ == "__main__":
    main()
