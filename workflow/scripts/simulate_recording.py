"""Simulate one session: the brain, and its recording as a real NWB file."""

from v4egg.jobs import job
from v4egg.recordings.simulated import simulate
from v4egg.seeding import seed_of

with job(snakemake) as run:
    simulate(
        snakemake.output.nwb,
        snakemake.output.brain,
        snakemake.wildcards.session,
        seed=seed_of(snakemake.params.seed, snakemake.wildcards.session),  # each session has units of its own
        **snakemake.params.options,
    )
