"""Gather the run's key numbers for machines; the closing table is made from them."""

import json
from pathlib import Path

from v4egg.figures import FIGURES
from v4egg.workflow.jobs import job
from v4egg.workflow.summary import summarise

with job(snakemake):
    folder = Path(snakemake.params.benchmarks)  # not there with object storage
    stages = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    benchmarks = {stage.name: sorted(stage.glob("*.tsv")) for stage in stages}
    inputs, of_figures = snakemake.input, {}
    for key, paths in inputs.items():
        name, separator, argument = key.partition("__")
        if separator:
            of_figures.setdefault(name, {})[argument] = paths
    tables = {name: FIGURES[name].load().table(**arguments) for name, arguments in of_figures.items()}
    paths = {"scores": inputs.scores, "transfer": inputs.transfer, "mei": inputs.meis}
    paths |= {"compact": inputs.compact, "adversarial": inputs.adversarial}
    summary = summarise(**paths, stages=tables, benchmarks=benchmarks)
    Path(snakemake.output[0]).write_text(json.dumps(summary, indent=2) + "\n")
