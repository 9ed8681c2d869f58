"""Spikes to windowed counts, reliability and unit selection."""

from v4egg.recordings.presentations import window_fit
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import make_responses
from v4egg.recordings.splits import load_splits, split_of
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    recording = load_recording(snakemake.input.recording)
    split = split_of(load_splits(snakemake.input.splits), recording.session)
    options = dict(snakemake.params.options)
    responses = make_responses(recording, split, seed=snakemake.params.seed, **options)
    responses.save(snakemake.output[0], config=options, inputs=[snakemake.input.recording, snakemake.input.splits])
    if recording.trials is not None:
        for line in window_fit(recording, options["window"]).words():
            run.log(line)
    if missing := int((responses.recorded_fraction < 1).sum()):
        run.log(f"{missing} of {len(responses.units)} units were not recorded in all presentations")
    run.log(f"{responses.selected.sum()} of {len(responses.selected)} units selected")
