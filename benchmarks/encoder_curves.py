"""What limits an encoder's score: curves over sessions, training time, image size and members, on validation images.

Usage: OMP_NUM_THREADS=1 python benchmarks/encoder_curves.py CONFIG RESULTS SESSION OUT [CURVE ...]

CONFIG is a configuration file such as config/cowley2023.yaml, RESULTS the folder with its recordings and responses
(``snakemake --until count_responses``), SESSION the one whose units are scored, OUT a folder for curves.csv and
curves.png. CURVE is one of sessions, epochs, size and members; without any, all. Every architecture of the
configuration that has one core is trained afresh for each point, on the monkey's sessions named in MONKEYS where not
said otherwise; test images are never looked at. Rows are added to curves.csv as they come, and points that it has are
not run again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure

from v4egg.encoders.frozen_features import frozen_features
from v4egg.encoders.training import train_member
from v4egg.encoders.training_data import TrainingSession, training_session
from v4egg.figures import style
from v4egg.images.processing import to_float
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.recordings.splits import channels_of
from v4egg.stats import metrics
from v4egg.workflow.configuration import check

SCHEMA = Path(__file__).parent.parent / "workflow/schemas/config.schema.yaml"
MONKEYS = [["s201025", "s210224", "s210322", "s210325"], ["s190923", "s190925", "s190927", "s190928", "s190929"]]
EPOCHS = (2, 4, 8, 16, 32, 64)
SIZES = {"attention": (28, 56, 112), "task_driven": (112, 160, 224, 320)}
MEMBERS = 5
CURVES = {"sessions": "sessions", "epochs": "epochs", "size": "image side (px)", "members": "members"}


class Trainer:
    """Trains one member and scores it on the validation images of one session."""

    def __init__(self, config: dict, results: Path, session: str):
        self.config, self.results, self.session = config, results, session
        self.sessions: dict[tuple, TrainingSession] = {}

    def options(self, arch: str) -> dict:
        of_architecture = self.config["encoders"]["architectures"][arch].get("training", {})
        images = {"size": self.config["images"]["size"], "channels": channels_of(self.results / "splits.zarr")}
        return {**images, **self.config["encoders"]["training"], **of_architecture}

    def data(self, arch: str, session: str, size: int | None) -> TrainingSession:
        """One session as this architecture sees it at ``size`` pixels, kept for the next point."""
        key = (arch, session, size)
        if key not in self.sessions:
            images = load_recording(self.results / f"recordings/{session}.zarr").images
            responses = load_responses(self.results / f"responses/{session}.zarr")
            backbone = self.config["encoders"]["architectures"][arch]["core"].get("backbone")
            features = frozen_features(images, backbone, size=size) if backbone else None
            options = self.options(arch)
            self.sessions[key] = training_session(images, responses, options, size=size, features=features)
        return self.sessions[key]

    def predictions(
        self, arch: str, sessions: list[str], size: int | None, epochs: int | None, seed: int
    ) -> np.ndarray:
        """Responses, an array (image, unit), to the session's validation images by a member trained on ``sessions``."""
        architecture = dict(self.config["encoders"]["architectures"][arch])
        options = self.options(arch) | ({"epochs": epochs} if epochs else {})
        if size is not None:
            architecture["size"] = size
            if "patch_size" in (core := {"patch_size": 2, **architecture["core"]}) and "backbone" not in core:
                architecture["core"] = core | {"patch_size": max(1, core["patch_size"] * size // options["size"])}
        size = architecture.get("size")
        data = [self.data(arch, session, size) for session in sessions]
        encoder, _ = train_member(data, architecture, options, seed)
        target = self.data(arch, self.session, size)
        return predict(encoder, target, data[sessions.index(self.session)].features)

    def score(self, prediction: np.ndarray, arch: str) -> float:
        """Mean over units of the correlation to average on the validation images."""
        data = next(session for key, session in self.sessions.items() if key[:2] == (arch, self.session))
        return float(np.nanmean(metrics.correlation(prediction, data.target[data.validation])))


@torch.no_grad()
def predict(encoder, data: TrainingSession, features: np.ndarray | None) -> np.ndarray:
    index, rows = encoder.index(data.units), data.validation
    if features is None:
        return encoder(to_float(data.images[rows]), index).numpy()
    return encoder.respond(encoder.maps(torch.from_numpy(features[rows, 0]).float()), index).numpy()


def points(curve: str, arch: str, monkey: list[str], everything: list[str]) -> list[tuple[float, dict]]:
    """The points of a curve: x, and what differs from an ordinary member."""
    if curve == "sessions":
        sets = [monkey[:n] for n in (1, 2, 3, len(monkey))] + [everything]
        return [(len(sessions), {"sessions": sessions}) for sessions in sets]
    if curve == "epochs":
        return [(epochs, {"epochs": epochs}) for epochs in EPOCHS]
    if curve == "size":
        return [(size, {"size": size}) for size in SIZES.get(arch, ())]
    return [(n, {"seed": n - 1}) for n in range(1, MEMBERS + 1)]


def run(trainer: Trainer, arch: str, curve: str, table: Path) -> None:
    """Train the points of one curve that the table lacks, and add them to it."""
    monkey = next(sessions for sessions in MONKEYS if trainer.session in sessions)
    monkey = [trainer.session] + [session for session in monkey if session != trainer.session]
    existing = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=["session", "arch", "curve", "x"])
    existing = existing[
        (existing["session"] == trainer.session) & (existing["arch"] == arch) & (existing["curve"] == curve)
    ]
    if curve == "members" and len(existing) < MEMBERS:
        existing = existing.iloc[:0]
    together = []
    for x, change in points(curve, arch, monkey, list(trainer.config["sessions"])):
        if x in existing["x"].values:
            continue
        start = time.perf_counter()
        settings = {"sessions": monkey, "size": None, "epochs": None, "seed": 0} | change
        together.append(trainer.predictions(arch, **settings))
        prediction = np.mean(together, axis=0) if curve == "members" else together[-1]
        row = {"session": trainer.session, "arch": arch, "curve": curve, "x": x}
        row |= {"validation": trainer.score(prediction, arch), "seconds": time.perf_counter() - start}
        pd.DataFrame([row]).to_csv(table, mode="a", header=not table.exists(), index=False)
        print(row, flush=True)


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """One panel a curve, a line a session and architecture; shared heights."""
    curves = [curve for curve in CURVES if curve in set(table["curve"])]
    figure = style.new_figure(2.2)
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    colours = style.colours(sorted(set(table["arch"])))
    marks = dict(zip(sorted(set(table["session"])), ("o-", "s--", "^:", "v-."), strict=False))
    for axes, curve in zip(panels, curves, strict=True):
        rows = table[table["curve"] == curve].sort_values("x")
        for (session, arch), line in rows.groupby(["session", "arch"]):
            label = f"{session}, {style.label(arch)}"
            axes.plot(line["x"], line["validation"], marks[session], color=colours[arch], markersize=3, label=label)
        ticks = sorted(set(rows["x"]))
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        axes.minorticks_off()
        axes.set_xlabel(CURVES[curve])
    panels[0].set_ylabel("validation correlation")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("session")
    parser.add_argument("out", type=Path)
    parser.add_argument("curves", nargs="*", metavar="curve", help=f"some of {', '.join(CURVES)}; default: all")
    options = parser.parse_args()
    unknown = [curve for curve in options.curves if curve not in CURVES]
    if unknown:
        parser.error(f"unknown curve '{unknown[0]}'; known: {', '.join(CURVES)}")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    config = check(yaml.safe_load(options.config.read_text()), SCHEMA)
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, options.results, options.session)
    for curve in options.curves or CURVES:
        for arch, architecture in config["encoders"]["architectures"].items():
            if not {"combined", "core_groups", "refit"} & set(architecture):
                run(trainer, arch, curve, folder / "curves.csv")
    draw(pd.read_csv(folder / "curves.csv")).savefig(folder / "curves.png", dpi=200)


if __name__ == "__main__":
    main()
