"""Maximizing images of a session's compact models, made as published."""

from v4egg.compact.maximizing import METHOD, maximizing_images
from v4egg.compact.sources import JUDGE_NAMES, load_models
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    options, seed = snakemake.params.options, snakemake.params.seed
    model_source = snakemake.wildcards.model_source
    models = load_models(model_source, run.local(snakemake.params.path), snakemake.wildcards.session)
    result = maximizing_images(models, models.units, models.size, **options, seed=seed, progress=run.progress)
    result.attrs |= {"method": METHOD, "arch": JUDGE_NAMES[model_source]}
    stores.save(result, snakemake.output[0], "mei", config=options, seed=seed, inputs=snakemake.input)
