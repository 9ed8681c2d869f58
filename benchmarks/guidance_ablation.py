"""Which guidance suits a prior: a grid of lambda x steps x guidance x sampler, under judges that took no part.

Usage: OMP_NUM_THREADS=1 python benchmarks/guidance_ablation.py RESULTS OUT [--units 12] [--steps 10 25 50]
       [--scales 1 2 4 8 16] [--sources ARCH ...]

RESULTS is the folder of a finished run (config.yaml, prior.zarr, targets.zarr, encoders, predictions, recordings), OUT
one for units.csv (a row for each unit and judge), guidance.csv (a row for each setting, all sources together),
guidance.png and choice.txt. The first target units get one image for each setting and source, which is an architecture
(by default every one); what the grid does not vary (norm, jitter, uncertainty_penalty) is as the run has it. Judges are
encoders only: validators, and the other architectures. Settings that units.csv has are not run again, and every run of
the command draws and chooses anew from all that it has.

"scaled" is lambda times sqrt(1 - alpha_bar). The choice: among settings whose median is within 5% of the highest, and
which a paired Wilcoxon test over units does not tell from that one (p >= 0.05), the one that takes the least processor
time.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from finished_run import FinishedRun
from v4egg.evaluation.judges import encoder_judges
from v4egg.evaluation.transfer import with_cached_predictions
from v4egg.figures import style
from v4egg.priors.prior import SAMPLERS
from v4egg.seeding import torch_generator
from v4egg.stats.activation_scales import normalized_activation
from v4egg.stats.inference import bootstrap_interval, paired_wilcoxon
from v4egg.synthesis.constraints import display_constraint
from v4egg.synthesis.energy_guided import EnergyGuided, energy_guided, load_guide
from v4egg.synthesis.mei import mei_energy

WAYS = {  # of guidance: its options and its colour
    "full": ({"guidance": "full", "noise_scaled": False}, "#0072B2"),
    "full, scaled": ({"guidance": "full", "noise_scaled": True}, "#56B4E9"),
    "straight-through": ({"guidance": "straight_through", "noise_scaled": False}, "#D55E00"),
    "straight-through, scaled": ({"guidance": "straight_through", "noise_scaled": True}, "#E69F00"),
}
SETTING = ["sampler", "way", "steps", "energy_scale"]
MARKERS = dict(zip(SAMPLERS, "os^", strict=True))
CLOSE = 0.95  # share of the highest median that is as good


class Run(FinishedRun):
    """A finished run, and its sources by name."""

    def __init__(self, results: Path, units: int, sources: list[str] | None = None):
        config = yaml.safe_load((results / "config.yaml").read_text())
        architectures = config["encoders"]["architectures"]
        chosen = config["encoders"]["use_architectures"] or list(architectures)
        super().__init__(results, {name: architectures[name] for name in chosen}, units)
        self.options = config["synthesis"]["methods"]["energy_guided"]
        self.sources = {name: Source(self, name) for name in sources or chosen}


class Source:
    """The generators of one architecture, their judges, and what these say of the natural images."""

    def __init__(self, run: Run, name: str):
        self.units, self.options = run.units, run.options
        self.generators = run.ensembles[name].generators()
        self.stimulus_spec = self.generators.members[0].stimulus_spec
        self.judges = [j for i, j in enumerate(encoder_judges(run.ensembles, name)) if not i or not j.shares_weights]
        self.prior = load_guide(run.results / "prior.zarr", self.stimulus_spec)
        self.mean, self.best = (np.full((len(run.units), len(self.judges)), np.nan) for _ in range(2))
        for session in with_cached_predictions(self.judges, run.natural, run.predictions):
            responses = np.stack([session.responses[judge.name] for judge in self.judges])  # (judge, image, unit)
            rows = [run.units.index(unit) for unit in session.units]
            self.mean[rows] = responses.mean(1).T
            picks = responses[0].argmax(0)  # the natural image that the generators like best
            self.best[rows] = responses[:, picks, np.arange(len(rows))].T

    def __call__(self, sampler: str, way: str, steps: int, scale: float) -> pd.DataFrame:
        """A row for each unit and judge: relative activation, and seconds an image of the whole batch."""
        key = (0, "energy_guided")
        energy = mei_energy(self.generators, [(unit, 0) for unit in self.units], EnergyGuided(**self.options), key)
        draws = [torch_generator(*key, unit, 0) for unit in self.units]
        start = time.process_time()  # of one thread: other jobs on the machine count less than in wall time
        synthesis = energy_guided(
            energy,
            draws,
            self.prior,
            steps=steps,
            energy_scale=scale,
            sampler=sampler,
            smoothing=self.options["smoothing"],
            constraint=display_constraint(self.options["norm"], self.stimulus_spec),
            **WAYS[way][0],
        )
        seconds = (time.process_time() - start) / len(self.units)
        activation = np.stack([judge.paired(synthesis.images, self.units).numpy() for judge in self.judges], 1)
        relative = normalized_activation(activation, self.mean, self.best)
        rows = [
            {"unit": unit, "judge": judge.name, "normalized_activation": relative[u, j], "seconds": seconds}
            for (u, unit), (j, judge) in itertools.product(enumerate(self.units), enumerate(self.judges))
        ]
        return pd.DataFrame(rows)


def run(results: Run, table: Path, steps: list[int], scales: list[float]) -> None:
    """Every setting that the table lacks; a setting is written when it is whole."""
    done = set()
    if table.exists():
        done = set(pd.read_csv(table)[["source", *SETTING]].itertuples(index=False, name=None))
    grid = itertools.product(steps, SAMPLERS, WAYS, scales)  # few steps first: a look at all that costs little
    todo = [
        (name, (sampler, way, n, scale))
        for n, sampler, way, scale in grid
        for name in results.sources
        if (name, sampler, way, n, scale) not in done
    ]
    for count, (name, setting) in enumerate(todo, 1):
        scores = results.sources[name](*setting)
        head = {"source": name, **dict(zip(SETTING, setting, strict=True))}
        scores.assign(**head).to_csv(table, mode="a", header=not table.exists(), index=False)
        medians = scores.groupby("judge", sort=False)["normalized_activation"].median().round(2).to_dict()
        print(f"{count}/{len(todo)}", *head.values(), medians, f"{scores['seconds'][0]:.2f} s", flush=True)


def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each unit, source and setting: what generators promise, and the mean over judges that took no part."""
    keys = [*SETTING, "source", "unit"]
    wide = rows.pivot_table(index=[*keys, "seconds"], columns="judge", values="normalized_activation").reset_index()
    outside = [judge for judge in ("validators", "across") if judge in wide]
    return wide.assign(outside=wide[outside].mean(axis=1))


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting, best first: medians over units and sources, and how it compares with the best.

    ``confirmed`` is the median of judges that took no part over the median of the generators; ``p`` is of a paired
    Wilcoxon test against the best setting.
    """
    values = scores.pivot_table(index=SETTING, columns=["source", "unit"], values="external")
    medians = values.median(axis=1)
    best = values.loc[medians.idxmax()]
    rows = []
    for setting, part in scores.groupby(SETTING):
        low, high = bootstrap_interval(part["external"], np.median, ("guidance", *setting))
        judged = {j: part[j].median() for j in ("generators", "validators", "across") if j in part}
        numbers = {"external": medians[setting], "low": low, "high": high, **judged}
        numbers["confirmed"] = medians[setting] / judged["generators"]
        p = paired_wilcoxon(values.loc[setting], best).p_value
        head = dict(zip(SETTING, setting, strict=True))
        rows.append({**head, "n": len(part), "seconds": part["seconds"].mean(), **numbers, "p": p})
    return pd.DataFrame(rows).sort_values("external", ascending=False, ignore_index=True)


def choose(table: pd.DataFrame) -> pd.Series:
    """The cheapest setting that is as good as the best."""
    candidates = table[(table["external"] >= CLOSE * table["external"].max()) & ~(table["p"] < 0.05)]
    return candidates.loc[candidates["seconds"].idxmin()]


def in_words(table: pd.DataFrame, default: tuple) -> str:
    """The best setting, the chosen one, the run's own if the grid has it, and the best of each sampler and way."""
    lines = [f"{len(table)} settings, {int(table['n'].max())} pairs of unit and source each"]
    of_run = table[(table[SETTING] == pd.Series(dict(zip(SETTING, default, strict=True)))).all(axis=1)]
    named = [("best", table.loc[0]), ("right for this prior", choose(table))]
    named += [("the run's own", row) for _, row in of_run.iterrows()]
    tops = table.groupby(["sampler", "way"], sort=False).head(1)
    for name, row in named + [(f"best of {row['sampler']}, {row['way']}", row) for _, row in tops.iterrows()]:
        setting = f"{row['sampler']}, {row['way']}, {row['steps']} steps, lambda {row['energy_scale']:g}"
        value = f"{row['outside']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        share = f"{row['confirmed']:.0%} of {row['generators']:.2f} confirmed"
        lines.append(f"{name}: {setting}: {value}, {share}, {row['seconds']:.2f} s an image, p {row['p']:.2g}")
    return "\n".join(lines)


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """A map of steps and lambda for each sampler and way, then cost and confirmation of every setting."""
    figure = style.new_figure(5.6)
    maps, right = figure.subfigures(1, 2, width_ratios=(1.7, 1))
    panels = maps.subplots(len(WAYS), len(SAMPLERS), sharex=True, sharey=True, squeeze=False)
    limits = {"vmin": max(0.0, table["external"].min()), "vmax": table["external"].max()}
    for (way, row), (column, sampler) in itertools.product(zip(WAYS, panels, strict=True), enumerate(SAMPLERS)):
        rows = table[(table["sampler"] == sampler) & (table["way"] == way)]
        image = _map(row[column], rows, limits)
        if way == next(iter(WAYS)):
            row[column].set_title(sampler.replace("_", " "), loc="left")
        if not column:
            row[column].set_ylabel(f"{way}\nsteps")
    for axes in panels[-1]:
        axes.set_xlabel("lambda")
    maps.colorbar(image, ax=panels, shrink=0.5, label="relative activation, judges that took no part (median)")
    cost, promise = right.subplots(2, 1)
    _points(cost, table, "seconds")
    style.plain_log(cost.xaxis)
    cost.set_xlabel("processor seconds an image")
    cost.set_ylabel("judges that took no part")
    _points(promise, table, "generators")
    style.identity_line(promise)
    promise.set_xlabel("predicted by the generators")
    promise.set_ylabel("judges that took no part")
    marks = [promise.scatter([], [], color=colour, s=10, label=way) for way, (_, colour) in WAYS.items()]
    marks += [
        promise.scatter([], [], color=style.GREY, marker=m, s=10, label=s.replace("_", " ")) for s, m in MARKERS.items()
    ]
    chosen = choose(table)
    for axes, x in ((cost, "seconds"), (promise, "generators")):
        ring = axes.scatter(chosen[x], chosen["external"], s=45, facecolors="none", edgecolors=style.BLACK)
    ring.set_label("right for this prior")
    right.legend(handles=[*marks, ring], loc="outside lower center", ncols=2, columnspacing=0.8, handletextpad=0.2)
    return figure


def _map(axes: Axes, rows: pd.DataFrame, limits: dict):
    grid = rows.pivot_table(index="steps", columns="energy_scale", values="external")
    image = axes.imshow(grid.values, aspect="auto", origin="lower", cmap="cividis", **limits)
    axes.set_xticks(range(grid.shape[1]), [f"{value:g}" for value in grid.columns])
    axes.set_yticks(range(grid.shape[0]), [f"{value:g}" for value in grid.index])
    middle = (limits["vmin"] + limits["vmax"]) / 2
    for (row, column), value in np.ndenumerate(grid.values):
        if np.isnan(value):  # a setting that was not run
            continue
        ink = "white" if value < middle else "black"
        axes.text(column, row, style.number(value), ha="center", va="center", color=ink, fontsize=5)
    return image


def _points(axes: Axes, table: pd.DataFrame, x: str) -> None:
    for (way, sampler), rows in table.groupby(["way", "sampler"]):
        axes.scatter(rows[x], rows["external"], color=WAYS[way][1], marker=MARKERS[sampler], **style.POINTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--units", type=int, default=12)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 2.0, 4.0, 8.0, 16.0])
    parser.add_argument("--sources", nargs="+", help="architectures whose generators make images; all judge")
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = Run(arguments.results, arguments.units, arguments.sources)
    run(results, arguments.out / "units.csv", arguments.steps, arguments.scales)
    table = summary(verdicts(pd.read_csv(arguments.out / "units.csv")))
    table.to_csv(arguments.out / "guidance.csv", index=False, float_format="%.6g")
    draw(table).savefig(arguments.out / "guidance.png", dpi=200)
    settings = results.options
    ways = [
        name for name, (options, _) in WAYS.items() if all(settings[key] == value for key, value in options.items())
    ]
    words = in_words(table, (settings["sampler"], ways[0], settings["steps"], settings["energy_scale"]))
    (arguments.out / "choice.txt").write_text(words + "\n")
    print(words)


if __name__ == "__main__":
    main()
