"""Draw a recording as it was understood: svg, png, and the numbers behind it as csv."""

from pathlib import Path

from v4egg.figures import recording, style
from v4egg.workflow.jobs import job

with job(snakemake):
    path, window = snakemake.input.recording, snakemake.params.window
    numbers = recording.table(path, snakemake.input.responses, window)
    place = Path(snakemake.output.svg)
    style.write(recording.draw(numbers, path, window), numbers, place.parent, place.stem)
