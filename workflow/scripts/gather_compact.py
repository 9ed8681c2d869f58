"""Gather the compact models of a session's units, beside the sizes of published ones where there are any."""

from v4egg.compact.scores import gathered
from v4egg.evaluation.judges import OUTSIDERS
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    paths, outsider = list(snakemake.input.compact), run.local(snakemake.params.outsider)
    published = None
    if outsider.get("judge") == "published_compact":
        published = OUTSIDERS["published_compact"](outsider["path"], snakemake.wildcards.session)
    stores.save(gathered(paths, published), snakemake.output[0], "compact", inputs=paths)
