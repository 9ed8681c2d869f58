"""Reconstruct test images from the responses to them with the generators of one architecture."""

from v4egg.encoders.ensemble import load_encoder
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.synthesis.reconstruction import choose_targets, reconstruct
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, snakemake.params.options, snakemake.params.seed
    generators = load_encoder(inputs.members)
    targets = [
        choose_targets(load_recording(recording).images, load_responses(responses), generators, options["images"], seed)
        for recording, responses in zip(inputs.recordings, inputs.responses, strict=True)
    ]
    settings = {name: value for name, value in options.items() if name not in ("images", "architectures")}
    runtime = {"device": run.device, "progress": run.progress}
    result = reconstruct(generators, targets, prior=inputs.prior, seed=seed, **settings, **runtime)
    result.attrs |= {"arch": snakemake.wildcards.arch}
    stores.save(result, snakemake.output[0], "reconstruction", config=options, seed=seed, inputs=list(inputs))
