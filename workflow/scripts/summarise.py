"""Gather the run's key numbers for machines; the closing table is made from them."""

import json
from pathlib import Path

from v4egg.workflow.jobs import job
from v4egg.workflow.summary import summarise

with job(snakemake):
    folder = Path(snakemake.params.benchmarks)  # not there with object storage
    stages = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    benchmarks = {stage.name: sorted(stage.glob("*.tsv")) for stage in stages}
    inputs = snakemake.input
    found = {"compact": inputs.compact, "adversarial": inputs.adversarial, "figures": inputs.tables}
    summary = summarise(scores=inputs.scores, transfer=inputs.transfer, mei=inputs.meis, benchmarks=benchmarks, **found)
    Path(snakemake.output[0]).write_text(json.dumps(summary, indent=2) + "\n")
