"""Fit the simpler models of one session that encoders are compared with."""

from v4egg.encoders.baselines import fit_baselines
from v4egg.io import stores
from v4egg.priors.loading import load_prior
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options = snakemake.input, snakemake.params.options
    prior = load_prior(inputs.prior) if inputs.get("prior") else None
    recording, responses = load_recording(inputs.recording), load_responses(inputs.responses)
    result = fit_baselines(options["baselines"], recording.images, responses, prior=prior, seed=options["seed"])
    stores.save(result, snakemake.output[0], "baselines", config=options, seed=options["seed"], inputs=list(inputs))
    run.log(result.attrs["chosen"])
