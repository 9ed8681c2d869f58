"""Gather the compact models of a session's units, beside the sizes of published ones where there are any."""

from v4egg.compact.published import load_published_models
from v4egg.evaluation.compact_scores import gather_compact
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    paths, external_judge = list(snakemake.input.compact), run.local(snakemake.params.external_judge)
    published = None
    if external_judge.get("judge") == "published_compact":
        published = load_published_models(external_judge["path"], snakemake.wildcards.session)
    stores.save(gather_compact(paths, published), snakemake.output[0], "compact", inputs=paths)
