"""List every unit: how it was recorded and predicted, whether it is used, and why not."""

from v4egg.evaluation.tables.units import table
from v4egg.io.files import replacing
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    units = table(**dict(snakemake.input.items()), selection=snakemake.params.selection)
    with replacing(snakemake.output[0]) as partial:
        units.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    run.log(f"{len(units)} units, {units['selected'].sum()} selected, {units['target'].sum()} targets")
