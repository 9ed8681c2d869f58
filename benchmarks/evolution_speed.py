"""What evolution costs: presentations a second side by side and one image at a time, by population and by units.

Usage: OMP_NUM_THREADS=1 python benchmarks/evolution_speed.py

An untrained encoder and an untrained decoder at 56 px: time does not depend on what they have learned. The plain loop
evolves one unit after another and shows one image at a time, as a single search in a laboratory would. Each row is the
faster of two runs, in seconds of one processor.
"""

import argparse

import numpy as np
import torch

from processor_time import fastest
from v4egg.encoders.encoder import Encoder
from v4egg.xdream.evolution import Evolution, evolve
from v4egg.xdream.generators.decoder import Decoder
from v4egg.xdream.neurons import ModelUnits
from v4egg.xdream.optimizers import OPTIMIZERS, make_optimizer

SIZE, LATENT, GENERATIONS = 56, 256, 5
COSTLY = {"cma"}  # a full covariance: a few runs show it


def encoder(units: int) -> Encoder:
    spec = {"core": {"name": "residual"}, "readout": {"name": "attention"}, "size": SIZE, "channels": 3}
    spec |= {"mean": [0.5] * 3, "std": [0.2] * 3, "output": "elu+1"}
    model = Encoder([f"s-u{i:03d}" for i in range(units)], spec).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)


def rate(decoder: Decoder, units: int, population: int, batch: int = 128, optimizer: str = "genetic") -> float:
    """Presentations a second of all runs together."""
    neurons = ModelUnits(model := encoder(units), model.units)
    budget = GENERATIONS * population

    def run() -> None:
        search = make_optimizer(optimizer, [(i,) for i in range(units)], LATENT, population=population)
        evolve(Evolution(search, budget), decoder, neurons, batch=batch)

    return units * budget / fastest(run, 2)


def own_cost(optimizer: str, units: int, population: int = 40) -> float:
    """Milliseconds an image that the optimizer itself takes."""
    scores = np.random.default_rng(0).random((units, population))

    def run() -> None:
        search = make_optimizer(optimizer, [(i,) for i in range(units)], LATENT, population=population)
        for _ in range(GENERATIONS):
            search.step(scores, np.arange(units))

    return 1000 * fastest(run, 2) / (units * population * GENERATIONS)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    decoder = Decoder(SIZE, 3, LATENT, (96, 64, 32)).eval().requires_grad_(False)
    decoder = decoder.to(memory_format=torch.channels_last)
    plain = rate(decoder, 1, 20, batch=1)
    print(f"{'8 units, population 20':40} presentations/s  ratio")
    print(f"{'one unit and one image at a time':40} {plain:15.0f}  {1:5.2f}")
    print(f"{'side by side':40} {(fast := rate(decoder, 8, 20)):15.0f}  {fast / plain:5.2f}")
    print("\nunits, population 20: presentations/s")
    for units in (1, 4, 16):
        print(f"{units:6d} {rate(decoder, units, 20):8.0f}", flush=True)
    print("\npopulation, 4 units: presentations/s")
    for population in (10, 20, 40, 80):
        print(f"{population:6d} {rate(decoder, 4, population):8.0f}", flush=True)
    print(f"\noptimizer alone, {LATENT} genes, 8 units, population 40: ms/image")
    for name in OPTIMIZERS:
        print(f"{name:20} {own_cost(name, 1 if name in COSTLY else 8):8.3f}", flush=True)


if __name__ == "__main__":
    main()
