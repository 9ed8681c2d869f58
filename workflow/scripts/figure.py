"""Draw one figure from its stores: svg, png, and the numbers behind it as csv."""

from pathlib import Path

from v4egg.figures import FIGURES, style
from v4egg.workflow.jobs import job

with job(snakemake):
    name, inputs = Path(snakemake.output.svg).stem, dict(snakemake.input.items())
    module = FIGURES[name].load()
    numbers = module.table(**inputs, **snakemake.params.options)
    figure = module.draw(numbers, **{argument: inputs[argument] for argument in FIGURES[name].images})
    style.write(figure, numbers, Path(snakemake.output.svg).parent, name)
