"""Gather the batches of one method and architecture."""

import xarray as xr

from v4egg import stores
from v4egg.jobs import job

with job(snakemake):
    batches = [stores.load(path, "mei") for path in snakemake.input]
    batches = [batch for batch in batches if batch.sizes["unit"]] or batches[
        :1
    ]  # fewer units than slots leaves some empty
    gathered = xr.concat(batches, "unit", combine_attrs="drop_conflicts")
    stores.save(gathered, snakemake.output[0], "mei", inputs=list(snakemake.input))
