"""Processor time of one thread: other jobs on the machine count less than in wall time."""

import time
from collections.abc import Callable


def fastest(run: Callable[[], object], repeats: int) -> float:
    """The fewest seconds of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)
