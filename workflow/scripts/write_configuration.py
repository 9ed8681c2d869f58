"""Write the configuration as it was used, defaults filled in, beside the results."""

from pathlib import Path

import yaml

from v4egg.workflow.jobs import job

with job(snakemake):
    Path(snakemake.output[0]).write_text(yaml.safe_dump(dict(snakemake.params.config), sort_keys=False))
