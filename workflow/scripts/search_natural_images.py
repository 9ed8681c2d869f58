"""Find the images of the pool, and of a folder beside it, that the generators of one architecture rate highest."""

import itertools

from v4egg.encoders.ensemble import load_encoder
from v4egg.images.pool import folder_batches, pool_batches
from v4egg.io import stores
from v4egg.synthesis.natural_search import search_natural_images
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, images = snakemake.input, snakemake.params.options, snakemake.params.images
    units = [str(unit) for unit in stores.load(inputs.targets, "targets")["unit"].values]
    batches = pool_batches(inputs.pool, options["batch_size"])
    if options["folder"]:
        looks = {**images, "channels": stores.load(inputs.pool, "pool").sizes["channel"]}
        looks["pixel_range"] = options["pixel_range"]
        batches = itertools.chain(batches, folder_batches(options["folder"], options["batch_size"], **looks))
    result = search_natural_images(
        load_encoder(inputs.members), units, run.progress(batches), k=options["k"], device=run.device
    )
    result.attrs |= {"arch": snakemake.wildcards.arch}
    stores.save(
        result, snakemake.output[0], "natural", config=options, inputs=[*inputs.members, inputs.targets, inputs.pool]
    )
    run.log(f"{result.attrs['images']} images searched")
