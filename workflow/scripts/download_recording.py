"""Download one public session: images, responses and published models, each checked against its SHA-256."""

from v4egg.recordings.download import download_cowley
from v4egg.workflow.jobs import job

with job(snakemake):
    download_cowley(snakemake.params.folder, snakemake.params.session)
