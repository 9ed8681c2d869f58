"""Gather the run's key numbers for machines; the closing table is made from them."""

import json
from pathlib import Path

from v4egg.jobs import job
from v4egg.summary import summarise

with job(snakemake):
    stages = sorted(path for path in Path(snakemake.params.benchmarks).iterdir() if path.is_dir())
    benchmarks = {stage.name: sorted(stage.glob("*.tsv")) for stage in stages}
    inputs = snakemake.input
    summary = summarise(scores=inputs.scores, transfer=inputs.transfer, mei=inputs.meis, benchmarks=benchmarks)
    Path(snakemake.output[0]).write_text(json.dumps(summary, indent=2) + "\n")
