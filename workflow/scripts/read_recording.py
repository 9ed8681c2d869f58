"""Read one session with the reader of its format."""

from v4egg.recordings.outline import outline_of
from v4egg.recordings.readers import read_recording
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    source = snakemake.params.source
    path, looks = run.local(snakemake.params.path), snakemake.params.looks
    recording = read_recording(snakemake.wildcards.session, source, path, **looks)
    recording.save(snakemake.output[0], config={**source, **looks}, inputs=list(snakemake.input))
    for warning in recording.warnings:
        run.log(f"warning: {warning}")
    run.log(str(outline_of(recording)))
