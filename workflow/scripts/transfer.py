"""Score every image under every judge."""

from v4egg.encoders.ensemble import load_ensembles
from v4egg.evaluation.judges import encoder_judges, load_external_judges
from v4egg.evaluation.transfer import (
    NaturalImages,
    gather_architectures,
    judge_images,
    stored_responses,
    with_cached_predictions,
)
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.units import by_session
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    ensembles = load_ensembles(run.local(snakemake.params.members))
    external_judges = load_external_judges(run.local(snakemake.params.external_judges))
    units = [str(unit) for unit in stores.load(snakemake.input.targets, "targets")["unit"].values]
    groups = by_session(units)
    natural, predictions, natural_responses = [], [], run.local(snakemake.params.natural_responses)
    for recording_path, predictions_path in zip(snakemake.input.recordings, snakemake.input.predictions, strict=True):
        recording = load_recording(recording_path)
        if recording.session in groups:
            targets, natural_store = groups[recording.session], natural_responses.get(recording.session)
            responses = stored_responses(natural_store, targets) if natural_store else {}
            natural.append(NaturalImages(recording.images, recording.image_ids, targets, responses))
            predictions.append(stores.load(predictions_path, "predictions"))
    parts = {}
    for arch in run.progress(snakemake.params.sources):
        paths = {method: run.local(by_arch[arch]) for method, by_arch in snakemake.params.images.items()}
        meis = {method: stores.load(path, "mei")["image"] for method, path in paths.items()}
        judges = [*encoder_judges(ensembles, arch), *external_judges]
        parts[arch] = judge_images(meis, judges, with_cached_predictions(judges, natural, predictions))
    result = gather_architectures(parts)
    stores.save(result, snakemake.output[0], "transfer", inputs=run.input_stores)
