"""Ask all members once for their responses to a session's natural images."""

import numpy as np

from v4egg.encoders.ensemble import load_ensembles
from v4egg.encoders.predictions import predict_session
from v4egg.evaluation.encoder_scores import SPLITS
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    ensembles = load_ensembles(run.local(snakemake.params.members))
    recording, responses = load_recording(snakemake.input.recording), load_responses(snakemake.input.responses)
    scored = np.concatenate([responses.images_of(split) for split in SPLITS])
    rows = None if snakemake.params.every_image else scored
    runtime = {"device": run.device, "progress": run.progress}
    predictions = predict_session(ensembles, recording.images, responses.selected_units, rows, **runtime)
    inputs = [*snakemake.input.members, snakemake.input.recording, snakemake.input.responses]
    stores.save(predictions.assign_coords(image=recording.image_ids), snakemake.output[0], "predictions", inputs=inputs)
