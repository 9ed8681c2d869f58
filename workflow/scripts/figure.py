"""Draw one figure from stores: svg, png, and the numbers behind it as csv."""

from pathlib import Path

from v4egg.figures import FIGURES, style
from v4egg.workflow.jobs import job

with job(snakemake):
    name = Path(snakemake.output.svg).stem
    arguments = {**dict(snakemake.input.items()), **snakemake.params.options.get(name, snakemake.params.options)}
    table = FIGURES[name].table(**arguments)
    style.write(FIGURES[name].draw(**arguments), table, Path(snakemake.output.svg).parent, name)
