"""Train the image decoder on the image pool."""

from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.workflow.jobs import job
from v4egg.xdream.generators.decoder import train_decoder

with job(snakemake) as run:
    seed, pool = snakemake.params.seed, snakemake.input.pool
    images = stores.load(pool, "pool")["images"].values
    options = {**snakemake.params.options, "channels": images.shape[1]}
    key = {"decoder": options, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, [pool], key)
    decoder, curves = train_decoder(
        images, options, seed, checkpoint=checkpoint, progress=run.progress, device=run.device
    )
    decoder.save(snakemake.output[0], curves=curves, config=options, seed=seed, inputs=[pool])
    checkpoint.remove()
