"""Train one member of one architecture's ensemble."""

import itertools

from v4egg.checkpoints import Checkpoint
from v4egg.encoders.frozen_features import load_features
from v4egg.encoders.training import train_member, training_session
from v4egg.jobs import job
from v4egg.recordings.recording import load_recording
from v4egg.responses import load_responses
from v4egg.seeding import seed_of

with job(snakemake) as run:
    options, architecture = snakemake.params.options, snakemake.params.architecture
    arch, member = snakemake.wildcards.arch, snakemake.wildcards.member
    features = list(getattr(snakemake.input, "features", []))
    prior = getattr(snakemake.input, "prior", None)
    paths = itertools.zip_longest(snakemake.input.recordings, snakemake.input.responses, features)
    size = None if features else architecture.get("size")
    sessions = [
        training_session(
            load_recording(a).images, load_responses(b), options, size=size, features=c and load_features(c)
        )
        for a, b, c in paths
    ]
    seed = seed_of(snakemake.params.seed, arch, member)
    inputs = [*snakemake.input.recordings, *snakemake.input.responses, *features, *filter(None, [prior])]
    key = {"options": options, "architecture": architecture, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, inputs, key)
    shown = {"progress": run.progress, "device": run.device}
    encoder, curves = train_member(sessions, architecture, options, seed, prior=prior, checkpoint=checkpoint, **shown)
    config = {"architecture": architecture, "training": options}
    labels = {"arch": arch, "member": member, "role": snakemake.params.role}
    encoder.save(snakemake.output[0], **labels, curves=curves, config=config, seed=seed, inputs=inputs)
    checkpoint.remove()
    run.say(f"validation correlation {max(curves['validation']):.3f}")
