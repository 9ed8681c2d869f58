"""Gather the images that the prior learns from; none of them is a test image."""

from v4egg.images.pool import image_pool, save_pool
from v4egg.recordings.recording import load_recording
from v4egg.recordings.splits import images_that_fit, load_splits
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    splits, options = load_splits(snakemake.input.splits), dict(snakemake.params.options)
    recordings = map(load_recording, snakemake.input.recordings) if options.pop("sessions") else ()
    fit = {recording.session: images_that_fit(recording, splits) for recording in recordings}
    images, sources = image_pool(fit, channels=splits.attrs["channels"], seed=snakemake.params.seed, **options)
    inputs = [*snakemake.input.recordings, snakemake.input.splits]
    save_pool(images, sources, snakemake.output[0], config=snakemake.params.options, inputs=inputs)
    run.log(f"{len(images)} images")
