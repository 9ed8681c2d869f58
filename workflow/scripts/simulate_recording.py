"""Simulate one session: the brain, and its recording as a real NWB file."""

from v4egg.seeding import seed_of
from v4egg.simulation.session import simulate
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    simulate(
        snakemake.output.nwb,
        snakemake.output.brain,
        snakemake.wildcards.session,
        seed=seed_of(snakemake.params.seed, snakemake.wildcards.session),  # each session has units of its own
        **snakemake.params.options,
    )
