"""Score the maximizing images of a session's compact models under every judge."""

from v4egg.compact.sources import JUDGE_NAMES, load_models
from v4egg.encoders.ensemble import load_ensembles
from v4egg.evaluation.judges import compact_judges
from v4egg.evaluation.transfer import NaturalImages, gather_architectures, judge_images, stored_responses
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, params = snakemake.input, snakemake.params
    model_source, session = snakemake.wildcards.model_source, snakemake.wildcards.session
    models = load_models(model_source, run.local(params.path), session)
    ensembles = load_ensembles(run.local(params.members))
    judges = compact_judges(model_source, models, ensembles, params.teachers, run.local(params.external_judges))
    meis = stores.load(inputs.images, "mei")
    responses = {}
    for path in inputs.natural_responses:
        responses |= stored_responses(path, models.units)
    recording = load_recording(inputs.recording)
    natural = [NaturalImages(recording.images, recording.image_ids, models.units, responses)]
    judged = judge_images({meis.attrs["method"]: meis["image"]}, judges, natural)
    result = gather_architectures({JUDGE_NAMES[model_source]: judged})
    stores.save(result, snakemake.output[0], "transfer", inputs=run.input_stores)
