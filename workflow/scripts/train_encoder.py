"""Train one member of one architecture's ensemble."""

from v4egg.encoders.training import train_member
from v4egg.encoders.training_data import training_sessions
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.splits import channels_of
from v4egg.seeding import seed_of
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    stored, params = snakemake.input, snakemake.params
    options = {**params.options, "channels": channels_of(stored.splits)}
    arch, member = snakemake.wildcards.arch, snakemake.wildcards.member
    features, prior = list(stored.get("features", [])), stored.get("prior")
    sessions = training_sessions(stored.recordings, stored.responses, features, params.architecture, options)
    seed = seed_of(params.seed, arch, member)
    inputs = [*stored.recordings, *stored.responses, stored.splits, *features, *filter(None, [prior])]
    key = {"options": options, "architecture": params.architecture, "seed": seed, "code": params.code}
    checkpoint = Checkpoint.for_inputs(params.state, inputs, key)
    runtime = {"progress": run.progress, "device": run.device}
    encoder, curves = train_member(
        sessions, params.architecture, options, seed, prior=prior, checkpoint=checkpoint, **runtime
    )
    config = {"architecture": params.architecture, "training": options}
    labels = {"arch": arch, "member": member, "role": params.role}
    encoder.save(snakemake.output[0], **labels, curves=curves, config=config, seed=seed, inputs=inputs)
    checkpoint.remove()
    run.log(f"validation correlation {max(curves['validation']):.3f}")
