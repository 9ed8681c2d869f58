"""Time of a training step by threads and precision, as ratios to one thread in float32 in the same run.

Usage: python benchmarks/training_speed.py [threads ...]
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
import torch

from v4egg.encoders import training as encoder_training
from v4egg.encoders.training_data import TrainingSession
from v4egg.priors import training as prior_training

PRIOR = {"size": 56, "channels": 3, "patch_size": 2, "widths": [64, 128, 128], "layers": 1}
ENCODER = {"core": {"name": "residual"}, "readout": {"name": "attention"}}
OPTIONS = {
    "size": 56,
    "channels": 3,
    "loss": "mse",
    "epochs": 1,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "weight_decay": 0.05,
    "shift": 2,
    "noise": 0.1,
    "adversarial": 0.0,
    "ema_decay": 0.0,
    "patience": 0,
}


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, 3, 56, 56), dtype=np.uint8)


def prior_step() -> Callable[[], None]:
    prior = prior_training.new_prior(PRIOR).to(memory_format=torch.channels_last)
    pool = images(64)
    return lambda: prior_training._loss(prior, pool, 32, 0, 0).backward()


def encoder_epoch() -> Callable[[], None]:
    n, units = 320, 32
    session = TrainingSession(
        session="s1",
        units=[f"s1-u{i:03d}" for i in range(units)],
        images=images(n),
        target=np.random.default_rng(1).random((n, units), np.float32),
        trials=np.ones((n, units), np.float32),
        train=np.arange(n - 32),
        validation=np.arange(n - 32, n),
    )
    return lambda: encoder_training.train_member([session], ENCODER, OPTIONS, seed=0)


def best_seconds(step: Callable[[], None], repeats: int = 4) -> float:
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("threads", type=int, nargs="*", default=[1, 2])
    threads = parser.parse_args().threads
    torch.set_flush_denormal(True)
    print("step            threads  precision  seconds  speed-up")
    for name, make in (("prior, batch 32", prior_step), ("encoder, epoch", encoder_epoch)):
        step, baseline = make(), None
        for n in threads:
            torch.set_num_threads(n)
            for precision in ("float32", "bf16"):
                plain = patch.object(encoder_training, "autocast", lambda device: nullcontext())
                plain_prior = patch.object(prior_training, "autocast", lambda device: nullcontext())
                with (
                    plain if precision == "float32" else nullcontext(),
                    plain_prior if precision == "float32" else nullcontext(),
                ):
                    seconds = best_seconds(step)
                baseline = baseline or seconds
                print(f"{name:15} {n:7}  {precision:9} {seconds:8.3f} {baseline / seconds:9.2f}", flush=True)


if __name__ == "__main__":
    main()
