"""Maximizing images of a session's compact models, made as published."""

from v4egg.compact.maximizing import METHOD, maximizing_images
from v4egg.compact.sources import JUDGE_NAMES, load_models
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    options, seed = snakemake.params.options, snakemake.params.seed
    models = snakemake.wildcards.models
    own = load_models(models, run.local(snakemake.params.path), snakemake.wildcards.session)
    result = maximizing_images(own, own.units, own.size, **options, seed=seed, progress=run.progress)
    result.attrs |= {"method": METHOD, "arch": JUDGE_NAMES[models]}
    stores.save(result, snakemake.output[0], "mei", config=options, seed=seed, inputs=snakemake.input)
