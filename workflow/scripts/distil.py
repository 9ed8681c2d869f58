"""Distil, prune and train again the compact networks of some units of a session."""

from v4egg.compact.distillation import compact_networks
from v4egg.compact.teacher import load_distillation_dataset
from v4egg.evaluation.compact_scores import compact_dataset
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, snakemake.params.options, snakemake.params.seed
    responses = load_responses(inputs.responses)
    units = responses.selected_units[int(snakemake.wildcards.batch) :: snakemake.params.jobs]
    dataset = load_distillation_dataset(inputs.teacher, units)
    states = []

    def checkpoints(stage, units):
        key = {"options": options, "seed": seed, "code": snakemake.params.code, "stage": stage, "units": units}
        states.append(Checkpoint.for_inputs(snakemake.params.state, [inputs.teacher], key))
        return states[-1]

    networks, seconds = compact_networks(
        dataset, options, seed, checkpoints=checkpoints, progress=run.progress, device=run.device
    )
    recording = load_recording(inputs.recording)
    result = compact_dataset(networks, seconds, dataset, recording, responses, inputs.teacher)
    read = [inputs.teacher, inputs.recording, inputs.responses]
    stores.save(result, snakemake.output[0], "compact", config=options, seed=seed, inputs=read)
    for state in states:
        state.remove()
    medians = result["r2_to_teacher"].median("unit").values
    run.log(f"{len(units)} units, median r2 to the teacher by stage: " + ", ".join(f"{m:.3f}" for m in medians))
