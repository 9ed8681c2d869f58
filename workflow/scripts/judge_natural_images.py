"""Predict an external judge's responses to all natural images of a session, for both scores and transfer."""

import xarray as xr

from v4egg.evaluation.judges import load_external_judges
from v4egg.images.processing import to_float
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    recording = load_recording(snakemake.input.recording)
    (judge,) = load_external_judges({recording.session: run.local(snakemake.params.external_judge)})
    units = list(recording.units.index)
    images = to_float(recording.images)
    blocks = run.progress(range(0, len(images), 64))
    parts = [xr.DataArray(judge(images[i : i + 64], units), dims=("image", "unit")) for i in blocks]
    response = xr.concat(parts, "image").assign_coords(image=recording.image_ids, unit=units)
    result = xr.Dataset({"response": response}, attrs={"judge": judge.name})
    stores.save(result, snakemake.output[0], "natural_responses", inputs=[snakemake.input.recording])
