"""Ask the compact models of a session for their responses to all probes."""

from v4egg.compact.probes import probe_table
from v4egg.compact.sources import load_models
from v4egg.compact.tuning import tuning
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    model_source, session = snakemake.wildcards.model_source, snakemake.wildcards.session
    options = snakemake.params.options
    models = load_models(model_source, run.local(snakemake.params.path), session)
    result = tuning(models, probe_table(**options), models.size, run.progress)
    result.attrs |= {"model_source": model_source, "session": session}
    stores.save(result, snakemake.output[0], "tuning", config=options, inputs=snakemake.input)
