"""Split the images of all sessions at once, so that the same picture never falls in two splits."""

from v4egg.recordings.recording import load_recording
from v4egg.recordings.splits import make_splits, pictures_of, save_splits
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    recordings = map(load_recording, snakemake.input)
    sessions = [pictures_of(recording, snakemake.params.window) for recording in recordings]
    splits = make_splits(sessions, snakemake.params.policies, **snakemake.params.options, seed=snakemake.params.seed)
    save_splits(splits, snakemake.output[0], config=snakemake.params.options, inputs=list(snakemake.input))
    for session in sessions:
        if unseen := int((session.presentations == 0).sum()):
            run.log(f"{session.session}: {unseen} images excluded, since no unit has a response to them")
