"""Choose the units that get images: those that all validators predict best on validation images."""

from v4egg import stores
from v4egg.jobs import job
from v4egg.targets import select_targets

with job(snakemake) as run:
    scores = stores.load(snakemake.input.scores, "scores")
    options = snakemake.params.options
    targets = select_targets(scores, **options)
    stores.save(targets, snakemake.output[0], "targets", config=options, inputs=[snakemake.input.scores])
    run.say(f"{targets.sizes['unit']} units")
