"""What a job costs before it computes: Snakemake's share, here and on Slurm, and the start of each script.

Usage: python benchmarks/job_overhead.py [JOBS] [--slurm]

A chain of JOBS jobs (default 6), each of which waits for the one before, is what stands on a workflow's critical path;
what one job adds is the chain's time over that of a single job, divided by the others. Two chains: a shell command that
makes its file, and a script of this workflow that makes it. With --slurm both run on a cluster that is started on this
machine for the while (root, Debian's munge, slurmctld, slurmd and slurm-client). Then the imports of every script of
the workflow, by themselves, in seconds of wall time: part of each of its jobs.
"""

import argparse
import ast
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/helpers"))

import slurm  # noqa: E402 - of the tests, which start the same cluster

SNAKEFILE = """
def before(wildcards):
    return f"{wildcards.kind}/{int(wildcards.n) - 1}" if int(wildcards.n) else []

rule shell:
    input: before
    output: "{kind,shell}/{n}"
    shell: "touch {output}"

rule script:
    input: before
    output: "{kind,script}/{n}"
    log: "{kind}-{n}.log"
    script: "nothing.py"
"""
SCRIPT = """
from pathlib import Path

from v4egg.workflow.jobs import job

with job(snakemake):
    Path(snakemake.output[0]).touch()
"""
HERE = ["--cores", "1", "--workflow-profile", "none"]
ON_SLURM = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--slurm-status-command", "squeue"]
QUICK = ["--slurm-init-seconds-before-status-checks", "3"]


def chain(kind: str, jobs: int, options: list[str]) -> float:
    """Seconds that Snakemake takes for a chain."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "nothing.py").write_text(SCRIPT)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "V4EGG_DEVICE": "cpu"}
        command = [sys.executable, "-m", "snakemake", f"{kind}/{jobs - 1}", "--directory", name, *options]
        start = time.perf_counter()
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(run.stderr[-2000:])
        return time.perf_counter() - start


def print_overhead(jobs: int, where: dict[str, list[str]]) -> None:
    print("where | a shell command (s) | a script (s) | Snakemake itself, first job included (s)\n---|---|---|---")
    for name, options in where.items():
        first = {kind: chain(kind, 1, options) for kind in ("shell", "script")}
        each = {kind: (chain(kind, jobs, options) - first[kind]) / (jobs - 1) for kind in first}
        print(f"{name} | {each['shell']:.1f} | {each['script']:.1f} | {first['shell']:.1f}", flush=True)


def imports(script: Path) -> str:
    """The import statements of a script."""
    kept = [node for node in ast.parse(script.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, kept))


def import_seconds(name: str) -> float:
    """Wall time of starting Python and of what a script imports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    code = imports(ROOT / f"workflow/scripts/{name}.py")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - start


def print_starts() -> None:
    print("\nscript | imports (s)\n---|---")
    for script in sorted((ROOT / "workflow/scripts").glob("*.py")):
        print(f"{script.stem} | {import_seconds(script.stem):.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=int, nargs="?", default=6)
    parser.add_argument("--slurm", action="store_true", help="also on a cluster of this machine")
    arguments = parser.parse_args()
    jobs = arguments.jobs
    print_overhead(jobs, {"here": HERE})
    if arguments.slurm:
        if slurm.why_not():
            raise SystemExit(slurm.why_not())
        with tempfile.TemporaryDirectory() as name, slurm.cluster(Path(name)):
            print_overhead(jobs, {"Slurm, as in the profile": ON_SLURM, "Slurm, asked after 3 s": [*ON_SLURM, *QUICK]})
    print_starts()


if __name__ == "__main__":
    main()
