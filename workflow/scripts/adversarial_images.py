"""Adversarial images of a session's compact models, and random changes of the same size, under every judge."""

from v4egg.compact.sources import held_out_images, load_models
from v4egg.encoders.ensemble import load_ensembles
from v4egg.evaluation.adversarial import adversarial_experiment
from v4egg.evaluation.judges import compact_judges
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, params = snakemake.input, snakemake.params
    model_source, session = snakemake.wildcards.model_source, snakemake.wildcards.session
    models = load_models(model_source, run.local(params.path), session)
    ensembles = load_ensembles(run.local(params.members))
    judges = compact_judges(model_source, models, ensembles, params.teachers, run.local(params.external_judges))
    natural = held_out_images(load_recording(inputs.recording), load_responses(inputs.responses))
    result = adversarial_experiment(models, natural, judges, **params.options, seed=params.seed, progress=run.progress)
    result.attrs |= {"model_source": model_source, "session": session}
    stores.save(
        result, snakemake.output[0], "adversarial", config=params.options, seed=params.seed, inputs=run.input_stores
    )
