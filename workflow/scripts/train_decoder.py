"""Train the image decoder on the image pool."""

from v4egg import stores
from v4egg.checkpoints import Checkpoint
from v4egg.image_generators.decoder import train_decoder
from v4egg.jobs import job

with job(snakemake) as run:
    options, seed, pool = snakemake.params.options, snakemake.params.seed, snakemake.input.pool
    key = {"decoder": options, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, [pool], key)
    images = stores.load(pool, "pool")["images"].values
    decoder, curves = train_decoder(
        images, options, seed, checkpoint=checkpoint, progress=run.progress, device=run.device
    )
    decoder.save(snakemake.output[0], curves=curves, config=options, seed=seed, inputs=[pool])
    checkpoint.remove()
