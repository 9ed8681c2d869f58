"""What Snakemake itself costs: time and memory of a dry run of config/paper.yaml, by the number of units with images.

Usage: python benchmarks/dag_time.py 100 1244 10000

No recording is needed: empty files stand in for the hundred sessions, since a dry run opens none.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "config/paper.yaml"
# Linux counts what a process held before it became a new program as that program's, so a small process starts it
MEASURE = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stderr=subprocess.STDOUT)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
print(status, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


class DryRun(NamedTuple):
    jobs: dict[str, int]  # by rule
    seconds: float
    processor: float  # seconds of processor time
    megabytes: float  # largest resident set


def dry_run(units: int) -> DryRun:
    """A dry run with images for so many units."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for name in files_named(yaml.safe_load(PAPER.read_text())):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (folder / "units.yaml").write_text(f"targets: {{units: {units}}}\n")
        command = [sys.executable, "-m", "snakemake", "all", "--dry-run", "--quiet", "rules", "--cores", "1"]
        command += ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--workflow-profile", "none"]
        command += ["--configfile", PAPER, folder / "units.yaml"]
        measured = [sys.executable, "-c", MEASURE, *map(str, command)]
        output = subprocess.run(measured, capture_output=True, text=True, check=True).stdout
    text, _, numbers = output.strip().rpartition("\n")
    status, *cost = map(float, numbers.split())
    if status:
        raise SystemExit(text[-2000:])
    return DryRun(jobs_by_rule(text), *cost)


def files_named(options: Any) -> Iterator[str]:
    """The recordings and weights that a configuration names, at any depth: a dry run asks for them."""
    for key, value in options.items() if isinstance(options, dict) else ():
        if key in ("file", "weights") and isinstance(value, str) and value:
            yield value
        else:
            yield from files_named(value)


def jobs_by_rule(text: str) -> dict[str, int]:
    """The table of jobs that Snakemake prints."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("-----"):
            break
    jobs = {}
    for line in lines:
        words = line.split()
        if len(words) != 2:
            break
        jobs[words[0]] = int(words[1])
    jobs.pop("total")
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = [100, 1244, 10000]
    parser.add_argument("units", type=int, nargs="*", default=default, help="units with images; a row for each number")
    numbers = parser.parse_args().units
    print("units with images | jobs | seconds | of them processor | MB\n---|---|---|---|---")
    for units in numbers:
        run = dry_run(units)
        print(
            f"{units:,} | {sum(run.jobs.values()):,} | {run.seconds:.1f} | {run.processor:.1f} | {run.megabytes:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
