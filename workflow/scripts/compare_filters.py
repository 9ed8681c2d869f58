"""Filters of each layer of a session's compact models, and how alike they are across units."""

from v4egg.compact.circuits import circuits
from v4egg.compact.sources import STUDENTS, held_out_images, load_models, random_subset
from v4egg.images.processing import to_float
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, seed = snakemake.input, snakemake.params.numbers["seed"]
    model_source, session = snakemake.wildcards.model_source, snakemake.wildcards.session
    path = run.local(snakemake.params.path)
    unpruned = load_models(model_source, path, session, "distilled") if model_source == STUDENTS else None
    images = held_out_images(load_recording(inputs.recording), load_responses(inputs.responses))
    probe = to_float(random_subset(images, snakemake.params.numbers["images"], seed, "circuits", session))
    result = circuits(load_models(model_source, path, session), probe, unpruned, seed, run.progress)
    result.attrs |= {"model_source": model_source, "session": session}
    stores.save(result, snakemake.output[0], "circuits", seed=seed, inputs=[inputs.recording, inputs.responses])
