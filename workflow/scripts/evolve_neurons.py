"""Evolve images for black-box neurons under one condition of the experiment."""

import json

from v4egg.encoders.ensemble import load_encoder
from v4egg.evaluation.judges import load_external_judges
from v4egg.images.processing import stimulus_spec_of
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.recording import load_recording
from v4egg.registry import required_stores
from v4egg.workflow.jobs import job
from v4egg.xdream.experiment import evolution_experiment, experiment_neurons, responses_to_natural
from v4egg.xdream.generators import IMAGE_GENERATORS, make_image_generator
from v4egg.xdream.optimizers import settings_of

with job(snakemake) as run:
    inputs, options, seed = snakemake.input, dict(snakemake.params.options), snakemake.params.seed
    recordings = [load_recording(path) for path in inputs.recordings]
    images = {recording.session: recording.images for recording in recordings}
    units = [unit for recording in recordings for unit in recording.units.index]
    if inputs.get("targets"):
        units = [str(unit) for unit in stores.load(inputs.targets, "targets")["unit"].values]
    ensemble = load_encoder(list(inputs.members)) if inputs.get("members") else None
    judges = load_external_judges(run.local(snakemake.params.external_judges)) if ensemble is None else []
    external = [model for judge in judges for model in judge.models]
    neurons = experiment_neurons(options, units, ensemble, external, next(iter(images.values())), seed)
    stored = {}
    if ensemble is None:
        natural = [stores.load(path, "natural_responses")["response"] for path in inputs.natural_responses]
        stored = dict(zip(snakemake.params.external_judges, natural, strict=True))
        images = {session: images[session] for session in images if session in stored}
    responses = responses_to_natural(neurons, images, stored)
    chosen = options["image_generator"]
    needed = required_stores(IMAGE_GENERATORS, chosen["name"], chosen, "image generator")
    stimulus_spec = stimulus_spec_of(stores.load(inputs.pool, "pool")["images"].values)
    image_generator = make_image_generator(
        stimulus_spec=stimulus_spec, device=run.device, stores={name: inputs[name] for name in needed}, **chosen
    )
    key = {"options": options, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, run.input_stores, key)
    search = {key: options[key] for key in ("optimizer", "settings", "budget", "spikes", "repeats", "initial")}
    result = evolution_experiment(
        neurons.to(run.device),
        image_generator,
        list(images.values()),
        responses,
        **search,
        seed=seed,
        checkpoint=checkpoint,
        progress=run.progress,
    )
    settings = settings_of(options["optimizer"], options["settings"])
    result.attrs |= {"condition": snakemake.wildcards.condition, "settings": json.dumps(settings)}
    result.attrs["swept"] = json.dumps(options.get("swept", {}))
    stores.save(result, snakemake.output[0], "evolution", config=options, seed=seed, inputs=run.input_stores)
    checkpoint.remove()
