"""Make most exciting images for one batch of units with one method and the generators of one architecture."""

from v4egg.encoders.ensemble import load_encoder
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.registry import required_stores
from v4egg.synthesis.mei import synthesize_mei
from v4egg.synthesis.methods import METHODS
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    targets = stores.load(snakemake.input.targets, "targets")
    seed, samples, units_per_job = (snakemake.params.numbers[name] for name in ("seed", "samples", "units_per_job"))
    first = int(snakemake.wildcards.batch) * units_per_job
    method, options = snakemake.wildcards.method, snakemake.params.options
    required = {name: snakemake.input[name] for name in required_stores(METHODS, method, options, "method")}
    inputs = [*snakemake.input.members, snakemake.input.targets, *required.values()]
    key = {"job": str(snakemake.output[0]), "options": options, "seed": seed, "code": snakemake.params.code}
    checkpoint = Checkpoint.for_inputs(snakemake.params.state, inputs, {**key, "samples": samples, "first": first})
    units = [str(unit) for unit in targets["unit"].values[first : snakemake.params.numbers["stop"]]]
    meis = synthesize_mei(
        load_encoder(snakemake.input.members),
        units,
        method,
        **required,
        **options,
        samples=samples,
        seed=seed,
        device=run.device,
        progress=run.progress,
        checkpoint=checkpoint,
    )
    meis.attrs |= {"method": method, "arch": snakemake.wildcards.arch}
    stores.save(meis, snakemake.output[0], "mei", config=options, seed=seed, inputs=inputs)
    checkpoint.remove()
