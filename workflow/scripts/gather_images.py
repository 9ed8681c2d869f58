"""Gather the batches of units of one method or sweep and architecture."""

import xarray as xr

from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake):
    kind = snakemake.params.kind
    batches = [stores.load(path, kind) for path in snakemake.input]
    filled = [batch for batch in batches if batch.sizes["unit"]]  # fewer units than slots leaves some empty
    gathered = xr.concat(filled or batches[:1], "unit", combine_attrs="drop_conflicts")
    stores.save(gathered, snakemake.output[0], kind, inputs=list(snakemake.input))
