"""Choose the units that get images: the first of the ranking."""

from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    units = snakemake.params.units
    targets = stores.load(snakemake.input.ranking, "targets").isel(unit=slice(units))
    stores.save(targets, snakemake.output[0], "targets", config={"units": units}, inputs=[snakemake.input.ranking])
    run.log(f"{targets.sizes['unit']} units")
