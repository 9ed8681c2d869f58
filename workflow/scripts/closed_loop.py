"""Close the loop for the target units of one simulated session."""

from v4egg.encoders.encoder import load_member
from v4egg.encoders.training_data import training_session
from v4egg.evaluation.closed_loop import closed_loop
from v4egg.images.photographs import photograph_crops
from v4egg.io import stores
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.recordings.splits import channels_of
from v4egg.recordings.units import by_session
from v4egg.registry import required_stores
from v4egg.seeding import seed_of
from v4egg.simulation.brain import load_brain
from v4egg.synthesis.mei import synthesize_mei
from v4egg.synthesis.methods import METHODS
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    loop, seed = snakemake.params.loop, snakemake.params.seed
    recording, responses = load_recording(snakemake.input.recording), load_responses(snakemake.input.responses)
    targets = [str(unit) for unit in stores.load(snakemake.input.targets, "targets")["unit"].values]
    units = by_session(targets).get(recording.session, [])[: loop["units"]]
    options = {**snakemake.params.training, "channels": channels_of(snakemake.input.splits), **loop}
    names = required_stores(METHODS, loop["method"], snakemake.params.synthesis, "method of synthesis")
    required = {name: snakemake.input[name] for name in names}
    n_crops, key = loop["rounds"] * len(units) * loop["samples"], (seed, "closed loop", recording.session)
    crops, _ = photograph_crops(n_crops, recording.images.shape[-1], "fit", key=key)

    def synthesise(ensemble, round_index):
        meis = synthesize_mei(
            ensemble,
            units,
            loop["method"],
            **required,
            **snakemake.params.synthesis,
            samples=loop["samples"],
            seed=seed_of(seed, "closed loop", round_index),
            device=run.device,
        )
        return meis["image"].values

    result = closed_loop(
        [load_member(path) for path in snakemake.input.members],
        load_brain(snakemake.input.brain),
        [training_session(recording.images, responses, options)],
        responses,
        recording.images,
        units,
        synthesise,
        crops,
        options,
        seed=seed,
        progress=run.progress,
    )
    result.attrs |= {"arch": snakemake.wildcards.arch, "session": recording.session, "method": loop["method"]}
    inputs = [*snakemake.input.members, snakemake.input.targets, snakemake.input.recording]
    inputs += required.values()
    stores.save(result, snakemake.output[0], "closed_loop", config=options, seed=seed, inputs=inputs)
