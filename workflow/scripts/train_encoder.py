"""Train one member of one architecture's ensemble."""

from v4egg.checkpoints import Checkpoint
from v4egg.encoders.training import train_member, training_session
from v4egg.jobs import job
from v4egg.recordings.recording import load_recording
from v4egg.responses import load_responses
from v4egg.seeding import seed_of

with job(snakemake) as run:
    options, architecture = snakemake.params.options, snakemake.params.architecture
    arch, member = snakemake.wildcards.arch, snakemake.wildcards.member
    paths = zip(snakemake.input.recordings, snakemake.input.responses, strict=True)
    sessions = [training_session(load_recording(a).images, load_responses(b), options) for a, b in paths]
    seed = seed_of(snakemake.params.seed, arch, member)
    inputs = [*snakemake.input.recordings, *snakemake.input.responses]
    key = {"options": options, "architecture": architecture, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, inputs, key)
    encoder, curves = train_member(
        sessions, architecture, options, seed, checkpoint=checkpoint, progress=run.progress, device=run.device
    )
    config = {"architecture": architecture, "training": options}
    labels = {"arch": arch, "member": member, "role": snakemake.params.role}
    encoder.save(snakemake.output[0], **labels, curves=curves, config=config, seed=seed, inputs=inputs)
    checkpoint.remove()
    run.say(f"validation correlation {max(curves['validation']):.3f}")
