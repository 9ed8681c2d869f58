"""Make images along one setting for one batch of units with the generators of one architecture."""

from v4egg.encoders.ensemble import load_encoder
from v4egg.encoders.response_scale import deviations
from v4egg.io import stores
from v4egg.recordings.responses import load_responses
from v4egg.synthesis.sweeps import synthesize_sweep
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    inputs, options, numbers = snakemake.input, snakemake.params.options, snakemake.params.numbers
    targets = stores.load(inputs.targets, "targets")
    first, size = int(snakemake.wildcards.batch) * numbers["units_per_job"], numbers["units_per_job"]
    chosen = targets["unit"].values[: options["units"]]
    generators = load_encoder(inputs.members)
    series = synthesize_sweep(
        snakemake.wildcards.sweep,
        generators,
        [str(unit) for unit in chosen[first : first + size]],
        options,
        deviations=deviations([load_responses(path) for path in inputs.responses], generators.members[0]),
        prior=inputs.prior,
        seed=numbers["seed"],
        device=run.device,
        progress=run.progress,
    )
    series.attrs |= {name: snakemake.wildcards[name] for name in ("sweep", "arch")}
    stores.save(series, snakemake.output[0], "series", config=options, seed=numbers["seed"], inputs=list(inputs))
