"""Gather the images that the prior learns from; none of them is a test image."""

from v4egg.image_pool import image_pool, save_pool
from v4egg.jobs import job
from v4egg.recordings.recording import load_recording
from v4egg.splits import load_splits

with job(snakemake) as run:
    recordings = [load_recording(path) for path in snakemake.input.recordings]
    images, sources = image_pool(
        recordings, load_splits(snakemake.input.splits), seed=snakemake.params.seed, **snakemake.params.options
    )
    inputs = [*snakemake.input.recordings, snakemake.input.splits]
    save_pool(images, sources, snakemake.output[0], config=snakemake.params.options, inputs=inputs)
    run.say(f"{len(images)} images")
