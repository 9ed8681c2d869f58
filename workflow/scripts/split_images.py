"""Split the images of all sessions at once, so that the same picture never falls in two splits."""

from v4egg.recordings.recording import load_recording
from v4egg.recordings.splits import make_splits, save_splits
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    recordings = (load_recording(path) for path in snakemake.input)
    splits = make_splits(recordings, snakemake.params.policies, **snakemake.params.options, seed=snakemake.params.seed)
    save_splits(splits, snakemake.output[0], config=snakemake.params.options, inputs=list(snakemake.input))
