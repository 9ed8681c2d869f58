"""Download one public session: images, responses and published models, each checked against its SHA-256."""

from v4egg.jobs import job
from v4egg.recordings.download import download_cowley

with job(snakemake):
    download_cowley(snakemake.params.folder, snakemake.params.session)
