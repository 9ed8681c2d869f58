"""Gather the compact models of a session's units, beside the sizes of published ones where there are any."""

from v4egg import stores
from v4egg.compact.scores import gathered
from v4egg.jobs import job
from v4egg.judges import OUTSIDERS

with job(snakemake) as run:
    paths, outsider = list(snakemake.input.compact), run.local(snakemake.params.outsider)
    published = None
    if outsider.get("judge") == "published_compact":
        published = OUTSIDERS["published_compact"](outsider["path"], snakemake.wildcards.session)
    stores.save(gathered(paths, published), snakemake.output[0], "compact", inputs=paths)
