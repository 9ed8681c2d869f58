"""Draw unguided samples of the prior, and crops of the pool to see them beside."""

from v4egg import stores
from v4egg.jobs import job
from v4egg.priors.prior import load_prior
from v4egg.priors.samples import samples_beside_crops

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, snakemake.params.options, snakemake.params.seed
    prior, pool = load_prior(inputs.prior, run.device), stores.load(inputs.pool, "pool")["images"]
    samples = samples_beside_crops(prior, pool, **options, seed=seed, progress=run.progress)
    stores.save(samples, snakemake.output[0], "samples", config=options, seed=seed, inputs=list(inputs))
