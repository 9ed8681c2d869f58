"""What makes images transfer: one setting changed at a time, for both methods, under judges that took no part.

Usage: python benchmarks/transfer_ablation.py CONFIG RESULTS OUT [--units N] [--sources ARCH ...] [--factors NAME ...]
    [--encoders ARCH ...] [--priors NAME=STORE ...]

CONFIG is a configuration file, RESULTS the folder of its run (members, predictions, prior.zarr, targets.zarr,
recordings), OUT a folder for ablation.csv and ablation.png. The first N target units get one image for each setting,
made by the generators of each source (an architecture or a mixture). --encoders are architectures that stand in for a
source's own generators, such as the same network on larger images, and judge nothing (all with as many members as the
fewest has); --priors are priors that stand in for that of the run. They are the levels of "encoders" and "prior".
Judges are encoders only, so that settings are chosen without a look at external judges. Rows are added to
ablation.csv as they come, and settings that it has are not run again. Every setting that both methods have is tried on
both: the comparison is of methods, not of care.
"""

import argparse
import copy
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
import yaml
from matplotlib.figure import Figure

from finished_run import FinishedRun
from v4egg.encoders.ensemble import Ensemble
from v4egg.evaluation.best_images import best_images
from v4egg.evaluation.judges import Judge, encoder_judges
from v4egg.evaluation.transfer import judge_images, with_cached_predictions
from v4egg.figures import style
from v4egg.stats.inference import bootstrap_interval
from v4egg.synthesis.mei import synthesize_mei
from v4egg.workflow.configuration import check

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
    "uncertainty_penalty": [{"uncertainty_penalty": value} for value in (0.0, 1.0, 2.0)],
    "smoothing": [{"smoothing": value} for value in (0.0, 1.0, 2.0)],
    "guidance": [{"guidance": value} for value in ("full", "straight_through")],
    "sampler": [{"sampler": value} for value in ("ancestral", "ddim", "dpm_solver")],
    "generators": [{"generators": value} for value in (1, 2, 3, 5)],
    "samples": [{"samples": value} for value in (1, 3, 5)],
}

KINDS = ("guidance", "sampler", "prior", "encoders")


class Run(FinishedRun):
    """A finished run, and the base options of each method.

    ``encoders`` are architectures and ``priors`` stores, by name, that only stand in for those of a source.
    """

    def __init__(self, config: dict, results: Path, units: int, encoders: list[str], priors: dict[str, str]):
        super().__init__(results, config["encoders"]["architectures"], units)
        self.methods, self.rows_of = config["synthesis"]["methods"], {}
        self.stand_ins = {name: self.ensembles.pop(name) for name in encoders}
        self.priors = {"own": str(results / "prior.zarr"), **priors}

    def options(self, method: str, level: dict) -> dict | None:
        """The method's options at this level; None where it lacks one of them."""
        options = copy.deepcopy(self.methods[method])
        for name, value in level.items():
            *path, last = name.split(".")
            inner = options[path[0]] if path else options
            if last not in inner:
                return None
            inner[last] = value
        return options

    def scores(self, method: str, source: str, level: dict) -> list[dict] | None:
        """One row a judge that took no part, of the units' relative activations; None where the level is not for it."""
        level = dict(level)
        prior, encoders = level.pop("prior", None), level.pop("encoders", None)
        n, samples = level.pop("generators", None), level.pop("samples", 1)
        options = self.options(method, level)
        generators = self.generators(source, n, encoders)
        if options is None or generators is None or (prior and method != "energy_guided"):
            return None
        members = [f"{member.arch}/{member.member}" for member in generators.members]
        key = json.dumps([method, source, options, members, samples, prior or "own"])
        if key not in self.rows_of:  # a base setting is a level of many factors
            prior = self.priors[prior or "own"]
            meis = synthesize_mei(generators, self.units, method, prior=prior, samples=samples, **options)
            self.rows_of[key] = self._judged(source, generators, meis)
        return self.rows_of[key]

    def generators(self, source: str, n: int | None, encoders: str | None) -> Ensemble | None:
        """Those of a source or what stands in for it: n of each architecture, validators too where more are asked."""
        ensemble = self.stand_ins.get(encoders, self.ensembles[source])
        if n is None:
            return ensemble.generators()
        chosen = []
        for arch in dict.fromkeys(member.arch for member in ensemble.members):
            members = sorted((m for m in ensemble.members if m.arch == arch), key=lambda m: m.role != "generator")
            if len(members) < n:
                return None
            chosen += members[:n]
        return Ensemble(chosen)

    def _judged(self, source: str, generators: Ensemble, meis: xr.Dataset) -> list[dict]:
        """A row for each judge, of each unit's image that the generators rate highest."""
        others = [judge for judge in encoder_judges(self.ensembles, source)[1:] if not judge.shares_weights]
        makers = {id(member) for member in generators.members}
        others = [judge for judge in others if not makers & {id(m) for model in judge.models for m in model.members}]
        judges = [Judge("generators", [generators], shares_weights=True), *others]
        predicted = set(self.predictions[0]["arch"].values)  # what stands in need not be: it is asked now
        cached = [judge for judge in judges if {m.arch for model in judge.models for m in model.members} <= predicted]
        natural = with_cached_predictions(cached, self.natural, self.predictions)
        judged = best_images(judge_images({"made": meis["image"]}, judges, natural)).sel({"method": "made"})
        cost = float(meis["seconds"].mean()) * meis.sizes["sample"]
        return [self._row(judged.sel(judge=judge.name), judge.name, cost) for judge in judges]

    def _row(self, judged: xr.Dataset, judge: str, seconds: float) -> dict:
        values, matched = (
            judged[name].values[np.isfinite(judged[name].values)]
            for name in ("normalized_activation", "normalized_at_matched_contrast")
        )
        low, high = bootstrap_interval(values, np.median, ("ablation", judge))
        numbers = {"median": np.median(values), "low": low, "high": high, "share_above": (values > 1).mean()}
        return {"judge": judge, "n": values.size, **numbers, "matched": np.median(matched), "seconds": seconds}


def read(table: Path) -> pd.DataFrame:
    """The table; a level may be None, which is not a missing value."""
    return pd.read_csv(table, keep_default_na=False)


def run(results: Run, table: Path, sources: list[str], levels: dict[str, list[dict]]) -> None:
    """Every setting that the table lacks."""
    done = set()
    if table.exists():
        existing = read(table)
        if "matched" not in existing:  # rows would be added under the wrong names
            raise SystemExit(f"{table}: of another version, without the column matched; name another folder")
        done = set(existing[["method", "source", "factor", "level"]].astype(str).itertuples(False, None))
    for factor, values in levels.items():
        for level in values:
            for source in sources:
                for method in METHODS:
                    head = {"method": method, "source": source, "factor": factor}
                    head["level"] = str(list(level.values())[-1])
                    if tuple(head.values()) in done:
                        continue
                    rows = results.scores(method, source, level)
                    if rows is None:
                        continue
                    scores = pd.DataFrame([head | row for row in rows])
                    scores.to_csv(table, mode="a", header=not table.exists(), index=False)
                    print(scores.to_string(header=False, index=False), flush=True)


def _place(level: str) -> float:
    """Numbers by size; words, which stand for what is there without the factor or beside it, as they come."""
    try:
        return float(level)
    except ValueError:
        return -1.0


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """A panel a factor: median relative activation by level under each judge that took no part.

    Colours are methods, markers sources; validators, which share the architecture, are hollow and dashed. Levels that
    are kinds and no amounts have no line.
    """
    table = table[table["judge"] != "generators"].assign(level=table["level"].astype(str))
    markers = dict(zip(dict.fromkeys(table["source"]), itertools.cycle("os^Dv"), strict=False))
    factors = list(dict.fromkeys(table["factor"]))
    columns = 4
    rows = -(-len(factors) // columns)
    figure = style.new_figure(1.7 * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    colours = style.colours(list(METHODS))
    for axes, factor in zip(panels.flat, factors, strict=False):
        part = table[table["factor"] == factor]
        levels = sorted(dict.fromkeys(part["level"]), key=_place)
        for (method, source, judge), line in part.groupby(["method", "source", "judge"]):
            line = line.assign(x=[levels.index(level) for level in line["level"]]).sort_values("x")
            mark = {"linestyle": "-", "color": colours[method]}
            if judge != "across":
                mark |= {"linestyle": "--", "markerfacecolor": "white"}
            if factor in KINDS:
                mark["linestyle"] = ""
            label = f"{style.label(method)}, {style.label(source)}, {judge}"
            axes.plot(line["x"], line["median"], marker=markers[source], markersize=3, label=label, **mark)
        axes.axhline(1, color=style.LIGHT, linewidth=0.6)
        axes.set_xticks(range(len(levels)), [level.replace("_", "\n") for level in levels])
        axes.set_title(factor.replace("_", " "), loc="left")
    for axes in panels.flat[len(factors) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("normalized activation")
    marked = [axes.get_legend_handles_labels() for axes in panels.flat[::-1]]
    handle_of = {label: handle for handles, labels in marked for handle, label in zip(handles, labels, strict=True)}
    order = sorted(handle_of)
    figure.legend([handle_of[label] for label in order], order, loc="outside lower center", ncols=2)
    return figure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("config", "results", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--units", type=int, default=24)
    parser.add_argument("--sources", nargs="+", default=[], help="architectures and mixtures; default: all that judge")
    parser.add_argument("--factors", nargs="+", default=None, choices=[*SETTINGS, "prior", "encoders"])
    parser.add_argument("--encoders", nargs="+", default=[], metavar="ARCH")
    parser.add_argument("--priors", nargs="+", default=[], metavar="NAME=STORE")
    return parser.parse_args()


def stand_in_levels(run: Run, options: argparse.Namespace) -> dict[str, list[dict]]:
    """What stands in, after what is there without it; as many members of each encoder as the fewest has."""
    n = min((len(stand_in.members) for stand_in in run.stand_ins.values()), default=0)
    encoders = [{"generators": n, "encoders": name} for name in ("own", *options.encoders)]
    priors = [{"prior": name} for name in run.priors]
    return {"prior": priors if options.priors else [], "encoders": encoders if options.encoders else []}


def main(options: argparse.Namespace) -> None:
    torch.set_flush_denormal(True)
    config = check(yaml.safe_load(options.config.read_text()), SCHEMA)
    architectures = config["encoders"]["architectures"]
    for name in (*options.sources, *options.encoders):
        if name not in architectures:
            raise SystemExit(
                f"{name} is none of the configuration's architectures; name some of {', '.join(architectures)}"
            )
    for prior in options.priors:
        if "=" not in prior:
            raise SystemExit(f"--priors {prior} is not NAME=STORE; give the store a name")
    options.out.mkdir(parents=True, exist_ok=True)
    ablation = Run(
        config,
        options.results,
        options.units,
        options.encoders,
        dict(prior.split("=", 1) for prior in options.priors),
    )
    levels = SETTINGS | stand_in_levels(ablation, options)
    table = options.out / "ablation.csv"
    run(
        ablation,
        table,
        options.sources or list(ablation.ensembles),
        {name: levels[name] for name in options.factors or levels},
    )
    draw(read(table)).savefig(options.out / "ablation.png", dpi=200)


if __name__ == "__main__":
    main(arguments())
