"""Draw unguided samples of the prior, and crops of the pool to see them beside."""

from v4egg.io import stores
from v4egg.priors.loading import load_prior
from v4egg.priors.samples import samples_beside_crops
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, snakemake.params.options, snakemake.params.seed
    prior, pool = load_prior(inputs.prior, run.device), stores.load(inputs.pool, "pool")["images"]
    samples = samples_beside_crops(prior, pool, **options, seed=seed, progress=run.progress)
    stores.save(samples, snakemake.output[0], "samples", config=options, seed=seed, inputs=list(inputs))
