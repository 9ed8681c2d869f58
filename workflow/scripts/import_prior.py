"""Bring a diffusion prior that was trained elsewhere into a store, if it denoises the images of the pool."""

from v4egg.io import stores
from v4egg.priors.denoising import check_denoises
from v4egg.priors.pretrained import pretrained_prior
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    options = dict(snakemake.params.options)
    check = options.pop("check")
    prior = pretrained_prior(**options)
    run.log(f"{type(prior.unet).__name__} for images of {prior.image_shape}")
    if check:
        images = stores.load(snakemake.input.pool, "pool")["images"].values
        errors = check_denoises(prior.to(run.device).eval(), images, options["weights"])
        run.log(f"errors over those of a guess from each pixel alone: {', '.join(f'{error:.2f}' for error in errors)}")
    prior.cpu().save(snakemake.output[0], config=snakemake.params.options, inputs=[snakemake.input.pool])
