"""What more cores buy, and what starting jobs costs: a whole run on each number of cores.

Usage: python benchmarks/parallel_efficiency.py OUT [--config CONFIG ...] [--cores 1 2]

Runs the workflow (default: the demo) once for each number of cores, each in a new folder under OUT; an idle machine is
needed. Speed-up is the time of the first over that of each, efficiency the speed-up over the ratio of cores, busy the
processor time of all jobs over wall time times cores. Then, of the first run, by rule: the number of jobs, their
seconds, and how much of these went into starting Python and its imports (measured apart, once a script); the rest of
the wall time is Snakemake's own and that of jobs without a benchmark (figures, the summary), if that run was on one
core.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from job_overhead import ROOT, import_seconds


def run(folder: Path, configs: list[str], cores: int) -> float:
    """Seconds of a whole run."""
    if folder.exists():
        raise SystemExit(f"{folder}: exists; a run on results that are there measures nothing: remove it")
    folder.mkdir(parents=True)
    chosen = ["--configfile", *(str(Path(path).resolve()) for path in configs)] if configs else []
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", str(cores), *chosen]
    start = time.perf_counter()
    with (folder / "run.log").open("w") as log:
        if subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode:
            raise SystemExit(f"the run on {cores} cores failed; see {folder / 'run.log'}")
    return time.perf_counter() - start


def rules() -> dict[str, str]:
    """Of every rule with a name in the rules files: its script; the rules of figures share one."""
    scripts = {"figure": "figure"}
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for name, block in re.findall(
            r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", path.read_text(), re.DOTALL | re.MULTILINE
        ):
            scripts[name] = re.search(r'script:\s+"\.\./scripts/(\w+)\.py"', block)[1]
    return scripts


def jobs(folder: Path) -> pd.DataFrame:
    """A row for each job that ran: rule, script, wall and processor seconds."""
    scripts, rows = rules(), []
    for path in sorted(folder.glob("results/*/benchmarks/*/*.tsv")):  # named <rule>-<wildcards>.tsv
        rule = "figure" if path.stem.startswith("figure_") else path.stem.partition("-")[0]
        if rule in scripts:
            measured = pd.read_csv(path, sep="\t").iloc[0]
            times = {"wall": measured["s"], "processor": measured["cpu_time"]}
            rows.append({"rule": rule, "script": scripts[rule], **times})
    return pd.DataFrame(rows)


def print_efficiency(seconds: dict[int, float], tables: dict[int, pd.DataFrame]) -> None:
    print("cores | jobs | wall (s) | processor time of jobs (s) | speed-up | efficiency | busy\n" + "---|" * 6 + "---")
    fewest = min(seconds)
    for cores, wall in seconds.items():
        speed_up, used = seconds[fewest] / wall, tables[cores]["processor"].sum()
        efficiency, busy = speed_up * fewest / cores, used / (wall * cores)
        print(
            f"{cores} | {len(tables[cores])} | {wall:.0f} | {used:.0f} | {speed_up:.2f} | {efficiency:.2f} | {busy:.2f}"
        )


def print_starts(wall: float, measured: pd.DataFrame) -> None:
    print("\nrule | jobs | seconds | of these starting | share\n---|---|---|---|---")
    starts = measured["script"].map({script: import_seconds(script) for script in measured["script"].unique()})
    table = (
        measured.assign(starting=starts)
        .groupby("rule")
        .agg(jobs=("wall", "size"), seconds=("wall", "sum"), starting=("starting", "sum"))
    )
    for rule, row in table.sort_values("seconds", ascending=False).iterrows():
        share = row["starting"] / row["seconds"]
        print(f"{rule} | {row['jobs']:.0f} | {row['seconds']:.1f} | {row['starting']:.1f} | {share:.0%}")
    total = table.sum()
    print(
        f"all | {total['jobs']:.0f} | {total['seconds']:.1f} | {total['starting']:.1f} | "
        f"{total['starting'] / total['seconds']:.0%}"
    )
    rest = wall - total["seconds"]
    print(f"\nSnakemake, figures and summary: {rest:.1f} s, {rest / wall:.1%} of the run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", nargs="+", default=[])
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    folders = {cores: arguments.out.resolve() / f"cores-{cores}" for cores in arguments.cores}
    seconds = {cores: run(folder, arguments.config, cores) for cores, folder in folders.items()}
    tables = {cores: jobs(folder) for cores, folder in folders.items()}
    print_efficiency(seconds, tables)
    print_starts(seconds[arguments.cores[0]], tables[arguments.cores[0]])


if __name__ == "__main__":
    main()
