"""Seconds an image and peak memory, by method and batch size, as ratios to gradient ascent one image at a time.

Usage: OMP_NUM_THREADS=1 python benchmarks/image_cost.py [CONFIG] [--steps 6] [--batches 1 4 16 32]

Untrained networks as CONFIG (default: the demo) has them, with the generators of its first architecture: neither time
nor memory depends on what they have learned. Every measurement is a process of its own, on one thread; its memory is
the largest resident set that it ever had, and "loaded" is such a process that makes no image. A few steps are timed,
after one that is not, and the time of an image is that of a step times the configured steps.
"""

import argparse
import copy
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

ROOT = Path(__file__).parents[1]
WAYS = {  # how a row is called -> method, options laid over its own, and whether activations are kept or made again
    "gradient ascent": ("gradient_ascent", {}, "kept"),
    "energy guided, full": ("energy_guided", {"guidance": "full"}, "kept"),
    "energy guided, full, checkpointed": ("energy_guided", {"guidance": "full"}, "made again"),
    "energy guided, straight-through": ("energy_guided", {"guidance": "straight_through"}, "kept"),
}


def configured(path: str) -> dict:
    from v4egg.workflow.configuration import check

    return check(yaml.safe_load(Path(path).read_text()), ROOT / "workflow/schemas/config.schema.yaml")


def measure(config: dict, way: str, batch: int, steps: int) -> dict[str, float]:
    """Processor seconds a step and image, and this process's peak memory in MB; ``batch`` 0 makes no image."""
    from v4egg.encoders.encoder import Encoder
    from v4egg.encoders.ensemble import Ensemble
    from v4egg.priors.pretrained import pretrained_prior
    from v4egg.priors.prior import frozen
    from v4egg.priors.training import new_prior
    from v4egg.registry import options_of
    from v4egg.seeding import torch_generator
    from v4egg.synthesis.constraints import display_constraint
    from v4egg.synthesis.energies import Excite
    from v4egg.synthesis.method import Task
    from v4egg.synthesis.methods import METHODS

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    images = {"size": config["images"]["size"], "channels": config["images"]["channels"] or 3}
    scale = {"mean": [0.5] * images["channels"], "std": [0.2] * images["channels"], "output": "elu+1"}
    architecture = next(parts for parts in config["encoders"]["architectures"].values() if "combined" not in parts)
    spec = {"size": images["size"], "channels": images["channels"], **architecture, **scale}
    encoders = [Encoder(["s-u000"], copy.deepcopy(spec)) for _ in range(config["encoders"]["generators"])]
    generators = Ensemble([member.eval().requires_grad_(False) for member in encoders])
    pretrained = {key: value for key, value in config["prior"]["pretrained"].items() if key != "check"}
    prior = pretrained_prior(**pretrained) if pretrained["weights"] else new_prior({**config["prior"], **images})
    method, changed, activations = WAYS[way]
    if activations == "made again":
        prior.enable_gradient_checkpointing()
    prior = frozen(prior, "cpu", torch.float32)
    options = {**config["synthesis"]["methods"][method], **changed}
    stimulus_spec = generators.members[0].stimulus_spec
    constraint = display_constraint(options["norm"], stimulus_spec)

    def make(n: int, steps: int) -> None:
        energy = Excite(generators, torch.zeros(n, dtype=torch.long))
        draws = [torch_generator("cost", i) for i in range(n)]
        task = Task(energy, draws, stimulus_spec, constraint, "cpu", iter, {"prior": prior})
        options_of(METHODS, method, {**options, "steps": steps}, "method of synthesis").synthesize(task)

    seconds = float("nan")
    if batch:
        make(batch, 1)
        start = time.process_time()  # of one thread: other jobs on the machine count less than in wall time
        make(batch, steps)
        seconds = (time.process_time() - start) / (steps * batch)
    return {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_its_own_process(config: str, way: str, batch: int, steps: int) -> dict[str, float]:
    words = [sys.executable, __file__, config, "--steps", str(steps), "--measure", way, str(batch)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def table(path: str, batches: list[int], steps: int) -> None:
    methods = configured(path)["synthesis"]["methods"]
    loaded = in_its_own_process(path, "gradient ascent", 0, steps)["memory"]
    print(f"loaded, no image: {loaded:.0f} MB; ratios to the first row\n")
    heads = [
        "method",
        "batch",
        "ms a step and image",
        "steps",
        "s an image",
        "ratio",
        "peak MB",
        "above loaded",
        "ratio",
    ]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    first = None
    for way, (method, *_) in WAYS.items():
        for batch in batches:
            measured = in_its_own_process(path, way, batch, steps)
            cost, above = measured["seconds"] * methods[method]["steps"], measured["memory"] - loaded
            first = first or (cost, measured["memory"])
            row = [way, batch, f"{1000 * measured['seconds']:.1f}", methods[method]["steps"], f"{cost:.2f}"]
            row += [f"{cost / first[0]:.2f}", f"{measured['memory']:.0f}", f"{above:.0f}"]
            print(f"| {' | '.join(map(str, row))} | {measured['memory'] / first[1]:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default=str(ROOT / "config/config.yaml"))
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "BATCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, batch = arguments.measure
        print(json.dumps(measure(configured(arguments.config), way, int(batch), arguments.steps)))
    else:
        table(arguments.config, arguments.batches, arguments.steps)


if __name__ == "__main__":
    main()
