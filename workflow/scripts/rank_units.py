"""Rank the units that all validators predict well on validation images, best first."""

from v4egg.evaluation.unit_selection import rank_units
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    options = snakemake.params.options
    ranking = rank_units(stores.load(snakemake.input.scores, "scores"), **options)
    stores.save(ranking, snakemake.output[0], "targets", config=options, inputs=[snakemake.input.scores])
    run.log(f"{ranking.sizes['unit']} units qualify")
