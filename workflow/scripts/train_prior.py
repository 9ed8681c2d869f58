"""Train the diffusion prior on the image pool."""

from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.training import train_prior
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    seed, pool = snakemake.params.seed, snakemake.input.pool
    images = stores.load(pool, "pool")["images"].values
    options = {**snakemake.params.options, "channels": images.shape[1]}
    key = {"options": options, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, [pool], key)
    prior, curves = train_prior(images, options, seed, checkpoint=checkpoint, progress=run.progress, device=run.device)
    prior.save(snakemake.output[0], curves=curves, config=options, seed=seed, inputs=[pool])
    checkpoint.remove()
