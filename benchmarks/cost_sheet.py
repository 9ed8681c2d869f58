"""What config/paper.yaml costs, by stage: arithmetic counted on the configured networks, times from measured rates.

Usage: python benchmarks/cost_sheet.py 90 1244     (units with images; a table each)

Nothing is computed: networks stand on torch's meta device and torch counts their operations. The paper's recordings
are not public; what they hold is assumed below. A multiplication and an addition are two operations.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dag_time
from v4egg.encoders.encoder import Encoder
from v4egg.priors.adm import ADMUNet

ROOT = Path(__file__).parents[1]
PAPER = yaml.safe_load((ROOT / "config/paper.yaml").read_text())

# Measured rates, operations a second.
GPU = 9.0e12  # the paper's pilot: 25 s an image of 50 guided steps on one GPU; 50 x 4.49e12 / 25
CORE = 46e9  # the published models of 190923 on 1,200 images: 4.6e12 operations in 100 s on one thread
START = 10.0  # seconds a job before it computes: Snakemake, Python, torch, xarray; docs/scale.md

# Assumed of the recordings: units in all are known, images and trials a session are not.
UNITS, SESSIONS = 1244, len(PAPER["sessions"])
IMAGES, TEST_IMAGES, TEST_REPEATS, RECORDED_SIDE = 1000, 75, 15, 420
RESNET = 0.9e9  # operations of a ResNet50 up to layer3.0 at 100 px, from its published 4.1e9 multiplications at 224 px
RESNET_CHANNELS = 1024


class Stage(NamedTuple):
    """Rules whose jobs count, operations in all, bytes kept, and whether a GPU is asked for."""

    rules: tuple[str, ...]
    operations: float
    storage: float
    gpu: bool = False


def operations(network: nn.Module, *inputs, gradient: bool = False) -> float:
    """Operations of one forward pass; with the gradient in the first input, where that is wanted."""
    inputs[0].requires_grad_(gradient)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(gradient):
        output = network(*inputs)
        output = getattr(output, "sample", output)
        if gradient:
            output.sum().backward()
    return counter.get_total_flops()


def encoder(architecture: str) -> Encoder:
    """The configured encoder of that architecture, without numbers in it."""
    size, channels = PAPER["images"]["size"], PAPER["images"]["channels"]
    spec = {"size": size, "channels": channels, "mean": [0.5] * channels, "std": [0.2] * channels, "output": "elu+1"}
    units = [f"s{i % SESSIONS:03d}-u{i // SESSIONS:03d}" for i in range(UNITS)]
    return Encoder(units, {**PAPER["encoders"]["architectures"][architecture], **spec}).to("meta").eval()


def stages(units: int) -> dict[str, Stage]:
    """The table's rows, with images for so many units."""
    data_driven = encoder("data_driven").requires_grad_(False)
    size = PAPER["images"]["size"]
    image = torch.zeros(1, 1, size, size, device="meta")
    forward = operations(data_driven, image, torch.arange(UNITS // SESSIONS, device="meta"))
    climb = {"data_driven": operations(data_driven, image, gradient=True), "task_driven": 2 * RESNET}
    with torch.device("meta"):
        prior = ADMUNet().requires_grad_(False)
        step = operations(prior, torch.zeros(1, 3, 256, 256), torch.zeros(1, dtype=torch.long), gradient=True)

    members = PAPER["encoders"]["generators"] + PAPER["encoders"]["validators"]
    generators, training = PAPER["encoders"]["generators"], PAPER["encoders"]["training"]
    methods, samples = PAPER["synthesis"]["methods"], PAPER["synthesis"]["samples"]
    pictures = SESSIONS * (IMAGES + TEST_IMAGES)
    fit = SESSIONS * IMAGES * (1 - PAPER["responses"]["validation_fraction"])
    head = 2 * 49 * RESNET_CHANNELS * PAPER["encoders"]["architectures"]["task_driven"]["core"]["channels"]
    images = units * samples  # of one method and architecture
    climbing = generators * sum(climb.values())  # one step of one image in both architectures
    image_bytes = 4.0 * images * size**2
    parameters = sum(p.numel() for p in data_driven.parameters()) * 4.0
    answers = (IMAGES + TEST_IMAGES) * UNITS * 4.0  # of one member
    trials = answers * TEST_REPEATS
    return {
        "recordings": Stage(("read_recording",), 0, pictures * RECORDED_SIDE * 236.0),
        "splits, responses, pool": Stage(
            ("split_images", "count_responses", "image_pool"), 0, trials + pictures * size**2
        ),
        "prior": Stage(("import_prior",), 0, sum(p.numel() for p in prior.parameters()) * 4.0),
        "frozen features": Stage(("extract_features",), pictures * RESNET, pictures * 49 * RESNET_CHANNELS * 2.0, True),
        "encoders": Stage(
            ("train_encoder",),
            members * training["epochs"] * fit * 3 * (forward + head),
            2 * members * parameters,
            True,
        ),
        "predictions": Stage(
            ("predict_responses",), pictures * (members * forward + RESNET), 2 * members * answers, True
        ),
        "baselines, scores, targets": Stage(
            ("fit_baselines", "score_encoders", "rank_units", "select_targets"), 0, pictures * 48.0
        ),
        "images: gradient ascent": Stage(
            ("synthesize/2", "gather_images/2"),
            images * methods["gradient_ascent"]["steps"] * climbing,
            4 * image_bytes,
            True,
        ),
        "images: EGG": Stage(
            ("synthesize/2", "gather_images/2"),
            images * methods["energy_guided"]["steps"] * (2 * step + climbing),
            4 * image_bytes,
            True,
        ),
        "transfer, figures, summary": Stage(
            ("transfer", "figure", "summarise", "write_configuration"),
            4 * images * (members * forward + RESNET),
            24 * images * 4.0,
        ),
    }


COMMON_MB = 2000  # mem_mb of the default-resources in profiles/


def memory(rules: tuple[str, ...]) -> int:
    """The most that a rule of the stage asks for at its first attempt, MB; the profile says what most rules ask for."""
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    blocks = dict(re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", text, re.DOTALL | re.MULTILINE))
    requests = {rule: re.search(r"mem_mb=mem_mb\((\d+)\)", block) for rule, block in blocks.items()}
    names = [rule.split("/")[0] for rule in rules]
    return max(int(request[1]) if (request := requests.get(name)) else COMMON_MB for name in names)


def jobs(rules: tuple[str, ...], counted: dict[str, int]) -> int:
    """Jobs of the rules; ``name/2`` is half of a rule's, and a name covers the rules that begin with it."""
    total = 0
    for rule in rules:
        name, _, part = rule.partition("/")
        total += sum(n for counted_rule, n in counted.items() if counted_rule.startswith(name)) // int(part or 1)
    return total


def short(number: float) -> str:
    """Two digits that matter; nothing for nothing."""
    return "" if not number else f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def table(units: int) -> str:
    counted = dag_time.dry_run(units).jobs
    heads = ["stage", "jobs", "1e15 operations", "GPU-hours", "core-hours", "MB a job asks for", "GB kept"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    total = [0, 0.0, 0.0, 0.0, 0.0]
    for name, stage in stages(units).items():
        n = jobs(stage.rules, counted)
        gpu = stage.operations / GPU / 3600 if stage.gpu else 0.0
        core = n * START / 3600 + (0 if stage.gpu else stage.operations / CORE / 3600)
        row = [n, stage.operations / 1e15, gpu, core, stage.storage / 1e9]
        total = [a + b for a, b in zip(total, row, strict=True)]
        lines.append(
            f"| {name} | {n} | {' | '.join(map(short, row[1:4]))} | {memory(stage.rules):,} | {short(row[4])} |"
        )
    lines.append(f"| all | {total[0]} | {' | '.join(map(short, total[1:4]))} | | {short(total[4])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", type=int, nargs="*", default=[90], help="units with images; a table for each number")
    for number in parser.parse_args().units:
        print(f"\n{number:,} units with images, {PAPER['synthesis']['samples']} samples\n\n{table(number)}")


if __name__ == "__main__":
    main()
