"""Ask the teacher for its responses to views of pool pictures, which students learn from, and to test images."""

from v4egg.compact.teacher import teach
from v4egg.encoders.ensemble import load_encoder
from v4egg.images.pool import image_pool
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.recordings.splits import images_that_fit, load_splits, split_of
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, snakemake.params.options, snakemake.params.seed
    recordings = [load_recording(path) for path in inputs.recordings]
    splits = load_splits(inputs.splits)
    pool = dict(snakemake.params.pool)
    fit = {r.session: images_that_fit(r, splits) for r in recordings} if pool.pop("sessions") else {}
    pictures, sources = image_pool(fit, channels=splits.attrs["channels"], seed=seed, **pool)
    responses_of = {responses.session: responses for responses in map(load_responses, inputs.responses)}
    units = [unit for responses in responses_of.values() for unit in responses.selected_units]
    sessions = {
        r.session: r.images[split_of(splits, r.session) == "test"] for r in recordings if r.session in responses_of
    }
    read = [*inputs.members, *inputs.recordings, *inputs.responses, inputs.splits]
    key = {"options": options, "pool": snakemake.params.pool, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, read, key)
    result = teach(
        load_encoder(list(inputs.members)),
        units,
        pictures,
        sources,
        sessions,
        options,
        seed,
        checkpoint=checkpoint,
        progress=run.progress,
        device=run.device,
    )
    stores.save(result, snakemake.output[0], "teacher", config=options, seed=seed, inputs=read)
    checkpoint.remove()
    run.log(f"{result.sizes['image']} views of {len(pictures)} pictures, {len(units)} units")
