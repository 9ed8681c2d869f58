"""Bring a diffusion prior that was trained elsewhere into a store."""

from v4egg.priors.pretrained import pretrained_prior
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    options = dict(snakemake.params.options)
    prior = pretrained_prior(**options)
    prior.save(snakemake.output[0], config=options)
    run.log(f"{type(prior.unet).__name__} for images of {prior.image_shape}")
