"""Gather the batches of units of one method or family and architecture."""

import xarray as xr

from v4egg import stores
from v4egg.jobs import job

with job(snakemake):
    kind = snakemake.params.kind
    batches = [stores.load(path, kind) for path in snakemake.input]
    batches = [batch for batch in batches if batch.sizes["unit"]] or batches[
        :1
    ]  # fewer units than slots leaves some empty
    gathered = xr.concat(batches, "unit", combine_attrs="drop_conflicts")
    stores.save(gathered, snakemake.output[0], kind, inputs=list(snakemake.input))
