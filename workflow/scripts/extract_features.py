"""Ask a frozen network once for its features of a session's images."""

import xarray as xr

from v4egg.encoders.frozen_features import frozen_features
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    options = dict(snakemake.params.options)
    recording = load_recording(snakemake.input.recording)
    prior = getattr(snakemake.input, "prior", None)
    key = (snakemake.params.seed, "features", recording.session)
    features = frozen_features(
        recording.images, **options, key=key, prior=prior, device=run.device, progress=run.progress
    )
    dataset = xr.Dataset(
        {"features": (("image", "view", "feature", "y", "x"), features)}, {"image": recording.image_ids}
    )
    inputs = [path for path in (snakemake.input.recording, prior) if path]
    stores.save(dataset, snakemake.output[0], "features", config=options, seed=snakemake.params.seed, inputs=inputs)
