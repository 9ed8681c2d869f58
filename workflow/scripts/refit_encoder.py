"""Refit the weights of one trained member, unit by unit."""

from v4egg.encoders.encoder import load_member
from v4egg.encoders.refit import refitted
from v4egg.encoders.training import validation_correlation
from v4egg.encoders.training_data import training_sessions
from v4egg.recordings.splits import channels_of
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    stored, params = snakemake.input, snakemake.params
    options = {**params.options, "channels": channels_of(stored.splits)}
    features = list(stored.get("features", []))
    sessions = training_sessions(stored.recordings, stored.responses, features, params.architecture, options)
    trained = load_member(stored.member)
    encoder = refitted(trained.to(run.device), sessions, run.progress).cpu()
    before, after = (validation_correlation(model.cpu(), sessions) for model in (trained, encoder))
    labels = {
        "arch": snakemake.wildcards.arch,
        "member": trained.member,
        "role": trained.role,
        "trained_as": trained.trained_as,
    }
    inputs = [stored.member, *stored.recordings, *stored.responses, stored.splits, *features]
    config = {"refit": trained.arch, "training": options}
    encoder.save(snakemake.output[0], **labels, config=config, inputs=inputs)
    run.log(f"validation correlation {before:.3f}, refitted {after:.3f}")
