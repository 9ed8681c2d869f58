"""Search the units of all sessions for a dot detector, and read the circuit of the best."""

import xarray as xr

from v4egg.compact.dot_circuit import dot_circuit
from v4egg.compact.dot_detector import best_dot_detector, dot_scores
from v4egg.compact.sources import load_models
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    model_source, numbers = snakemake.wildcards.model_source, snakemake.params.numbers
    tunings = [stores.load(path, "tuning").load() for path in snakemake.input.tuning]
    scores = xr.concat([dot_scores(tuning) for tuning in tunings], "unit")
    unit = best_dot_detector(scores)
    run.log(f"{unit} has the highest dot index of {scores.sizes['unit']} units")
    tuning = next(tuning for tuning in tunings if unit in tuning["unit"].values)
    session = tuning.attrs["session"]
    models = load_models(model_source, run.local(snakemake.params.paths)[session], session)
    circuit = dot_circuit(models, tuning, unit, **numbers)
    result = scores.merge(circuit, combine_attrs="no_conflicts")
    result.attrs |= {"model_source": model_source}
    stores.save(result, snakemake.output[0], "dot_detector", seed=numbers["seed"], inputs=snakemake.input.tuning)
