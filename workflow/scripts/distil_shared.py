"""Distil compact models that all units of a session share, one for each number of filters in their first layers."""

from v4egg.compact.shared import shared_students
from v4egg.compact.teacher import load_distillation_dataset
from v4egg.evaluation.compact_scores import shared_dataset
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.recording import load_recording
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, snakemake.params.options, snakemake.params.seed
    responses, recording = load_responses(inputs.responses), load_recording(inputs.recording)
    units = responses.selected_units
    dataset = load_distillation_dataset(inputs.teacher, units)
    key = {"options": options, "seed": seed, "code": snakemake.params.code, "units": units}
    folder, read = snakemake.params.state, [inputs.teacher, inputs.recording, inputs.responses]
    states = {k: Checkpoint.for_inputs(folder, read[:1], {**key, "filters": k}) for k in options["shared"]}
    students = shared_students(dataset, options, seed, states, run.progress, run.device)
    result = shared_dataset(students, dataset, recording.images, responses)
    stores.save(result, snakemake.output[0], "compact_shared", config=options, seed=seed, inputs=read)
    for state in states.values():
        state.remove()
    medians = result["r2_to_teacher"].median("unit").values
    run.log("median r2 to the teacher: " + ", ".join(f"{m:.3f}" for m in medians))
