"""What makes images transfer: one setting changed at a time, for both methods, under judges that took no part.

Usage: python benchmarks/transfer_ablation.py CONFIG RESULTS OUT [UNITS [SOURCES [FACTORS]]]

CONFIG is a configuration file, RESULTS the folder of its run (members, predictions, prior.zarr, targets.zarr,
recordings), OUT a folder for ablation.csv and ablation.png. The first UNITS (default 24) target units get one image for
each setting.
SOURCES (architectures and mixtures) and FACTORS are lists with commas; all when left out or "all".
Judges are encoders only, so that settings are chosen without a look at judges from outside. Rows are added to
ablation.csv as they come, and settings that it has are not run again. Every setting that both methods have is tried on
both: the comparison is of methods, not of care.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure

from v4egg import load_encoder, load_recording, stores
from v4egg.configuration import check
from v4egg.encoders.ensemble import Ensemble
from v4egg.figures import style
from v4egg.judges import Judge, encoder_judges
from v4egg.statistics import bootstrap_interval
from v4egg.synthesis import most_exciting_images
from v4egg.transfer import NaturalImages, by_session, heard_by, judge_images

SCHEMA = Path(__file__).parent.parent / "workflow/schemas/config.schema.yaml"
METHODS = ("gradient_ascent", "energy_guided")
SETTINGS = {  # factor -> levels of dotted options; a method is tried where it has the option
    "energy_scale": [{"energy_scale": value} for value in (1.0, 4.0, 16.0, 64.0)],
    "steps": [{"steps": value} for value in (25, 50, 100, 200)],
    "norm": [{"norm": value} for value in (None, 40.0, 80.0, 110.0)],
    "copies": [{"jitter.copies": value} for value in (0, 1, 2, 4)],
    "shift": [{"jitter.copies": 2, "jitter.shift": value} for value in (0, 3, 6)],
    "noise": [{"jitter.copies": 2, "jitter.noise": value} for value in (0.0, 0.03, 0.1)],
    "scale": [{"jitter.copies": 2, "jitter.scale": value} for value in (0.0, 0.1, 0.2)],
    "patch": [{"jitter.copies": 2, "jitter.patch": value} for value in (0.0, 0.2, 0.4)],
    "caution": [{"caution": value} for value in (0.0, 1.0, 2.0)],
    "smoothing": [{"smoothing": value} for value in (0.0, 1.0, 2.0)],
    "guidance": [{"guidance": value} for value in ("full", "straight_through")],
    "sampler": [{"sampler": value} for value in ("ancestral", "ddim", "dpm_solver")],
    "generators": [{"generators": value} for value in (1, 2, 3, 5)],
}


class Run:
    """The stores of a finished run, and the base options of each method."""

    def __init__(self, config: dict, results: Path, units: int):
        self.config, self.results = config, results
        self.units = [str(unit) for unit in stores.load(results / "targets.zarr", "targets")["unit"].values[:units]]
        architectures = config["encoders"]["architectures"]
        self.ensembles = {name: self.ensemble(parts.get("mixture", [name])) for name, parts in architectures.items()}
        groups = by_session(self.units)
        self.natural = [self.session(session, units) for session, units in groups.items()]
        self.predictions = [stores.load(results / f"predictions/{session}.zarr", "predictions") for session in groups]

    def ensemble(self, archs: list[str]) -> Ensemble:
        return load_encoder([path for a in archs for path in sorted((self.results / "encoders" / a).glob("m*.zarr"))])

    def session(self, session: str, units: list[str]) -> NaturalImages:
        recording = load_recording(self.results / f"recordings/{session}.zarr")
        return NaturalImages(recording.images, recording.image_ids, units)

    def options(self, method: str, level: dict) -> dict | None:
        """The method's options at this level; None where it lacks one of them."""
        options = copy.deepcopy(self.config["synthesis"]["methods"][method])
        for name, value in level.items():
            *path, last = name.split(".")
            inner = options[path[0]] if path else options
            if last not in inner:
                return None
            inner[last] = value
        return options

    def scores(self, method: str, source: str, level: dict) -> list[dict] | None:
        """One row a judge that took no part, of each unit's relative activations."""
        level = dict(level)
        generators, n = self.ensembles[source].generators(), level.pop("generators", None)
        if n is not None:
            members = [m for arch in dict.fromkeys(m.arch for m in generators.members) for m in self._first(arch, n)]
            if n > len(self._first(generators.members[0].arch, n)):
                return None
            generators = Ensemble(members)
        options = self.options(method, level)
        if options is None:
            return None
        made = most_exciting_images(
            method, generators, self.units, options, prior_path=str(self.results / "prior.zarr"), seed=0
        )
        others = [judge for judge in encoder_judges(self.ensembles, source)[1:] if not judge.took_part]
        judges = [Judge("generators", [generators], took_part=True), *others]
        natural = heard_by(judges, self.natural, self.predictions)
        judged = judge_images({method: made["image"]}, judges, natural).sel({"method": method})
        seconds = float(made["seconds"].mean())
        return [self._row(judged, judge.name, seconds) for judge in judges]

    def _first(self, arch: str, n: int) -> list:
        return [member for member in self.ensembles[arch].generators().members if member.arch == arch][:n]

    def _row(self, judged, judge: str, seconds: float) -> dict:
        values = judged["relative_activation"].sel(judge=judge).values.ravel()
        values = values[np.isfinite(values)]
        low, high = bootstrap_interval(values, np.median, ("ablation", judge))
        share = float((values > 1).mean())
        numbers = {"median": float(np.median(values)), "low": low, "high": high, "share_above": share}
        return {"judge": judge, "n": values.size, **numbers, "seconds": seconds}


def read(table: Path) -> pd.DataFrame:
    """The table; a level may be None, which is not a missing value."""
    return pd.read_csv(table, keep_default_na=False)


def chosen(wanted: str, known: list[str]) -> list[str]:
    """Those of a list with commas; all of them for "all"."""
    names = known if wanted == "all" else wanted.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"{unknown[0]} is none of {', '.join(known)}; name some of these")
    return names


def run(results: Run, table: Path, sources: list[str], factors: list[str]) -> None:
    """Every setting that the table lacks."""
    done = set()
    if table.exists():
        done = set(read(table)[["method", "source", "factor", "level"]].astype(str).itertuples(False, None))
    for factor in factors:
        for level in SETTINGS[factor]:
            for source in sources:
                for method in METHODS:
                    head = {"method": method, "source": source, "factor": factor}
                    head["level"] = str(list(level.values())[-1])
                    if tuple(head.values()) in done:
                        continue
                    rows = results.scores(method, source, level)
                    if rows is None:
                        continue
                    found = pd.DataFrame([head | row for row in rows])
                    found.to_csv(table, mode="a", header=not table.exists(), index=False)
                    print(found.to_string(header=False, index=False), flush=True)


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """A panel a factor: median relative activation by level under each judge that took no part."""
    table = table[table["judge"] != "generators"].assign(level=table["level"].astype(str))
    factors = list(dict.fromkeys(table["factor"]))
    columns = 4
    rows = -(-len(factors) // columns)
    figure = style.new_figure(1.7 * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    colours = style.colours(list(METHODS))
    for axes, factor in zip(panels.flat, factors, strict=False):
        here = table[table["factor"] == factor]
        levels = list(dict.fromkeys(here["level"]))
        for (method, source, judge), line in here.groupby(["method", "source", "judge"]):
            x = [levels.index(level) for level in line["level"]]
            mark = {"linestyle": "-" if judge == "across" else "--", "color": colours[method]}
            label = f"{style.label(method)}, {style.label(source)}, {judge}"
            axes.plot(x, line["median"], marker="o", markersize=2.5, label=label, **mark)
        axes.axhline(1, color=style.LIGHT, linewidth=0.6)
        axes.set_xticks(range(len(levels)), [level.replace("_", "\n") for level in levels])
        axes.set_title(factor.replace("_", " "), loc="left")
    for axes in panels.flat[len(factors) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("relative activation")
    marked = [axes.get_legend_handles_labels() for axes in panels.flat]
    shown = {label: handle for handles, labels in marked for handle, label in zip(handles, labels, strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=2)
    return figure


def main(
    config_path: str, results: str, out: str, units: str = "24", sources: str = "all", factors: str = "all"
) -> None:
    torch.set_flush_denormal(True)
    config = check(yaml.safe_load(Path(config_path).read_text()), SCHEMA)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    made = Run(config, Path(results), int(units))
    tried = chosen(factors, list(SETTINGS))
    run(made, folder / "ablation.csv", chosen(sources, list(made.ensembles)), tried)
    draw(read(folder / "ablation.csv")).savefig(folder / "ablation.png", dpi=200)


if __name__ == "__main__":
    main(*sys.argv[1:])
