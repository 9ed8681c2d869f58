"""Rank the units that all validators predict well on validation images, best first."""

from v4egg import stores
from v4egg.jobs import job
from v4egg.targets import rank_units

with job(snakemake) as run:
    options = snakemake.params.options
    ranking = rank_units(stores.load(snakemake.input.scores, "scores"), **options)
    stores.save(ranking, snakemake.output[0], "targets", config=options, inputs=[snakemake.input.scores])
    run.say(f"{ranking.sizes['unit']} units qualify")
