"""Make most exciting images for one batch of units with one method and the generators of one architecture."""

from v4egg import stores
from v4egg.encoders.ensemble import load_encoder
from v4egg.jobs import job
from v4egg.synthesis import most_exciting_images

with job(snakemake) as run:
    targets = stores.load(snakemake.input.targets, "targets")
    seed, seeds, units_per_job = (snakemake.params.numbers[name] for name in ("seed", "seeds", "units_per_job"))
    first = int(snakemake.wildcards.batch) * units_per_job
    units = [str(unit) for unit in targets["unit"].values[first : snakemake.params.numbers["stop"]]]
    meis = most_exciting_images(
        snakemake.wildcards.method,
        load_encoder(snakemake.input.members),
        units,
        snakemake.params.options,
        prior_path=snakemake.input.get("prior"),
        seeds=seeds,
        seed=seed,
        device=run.device,
        progress=run.progress,
    )
    meis.attrs |= {"method": snakemake.wildcards.method, "arch": snakemake.wildcards.arch}
    options = snakemake.params.options
    inputs = [*snakemake.input.members, snakemake.input.targets, *filter(None, [snakemake.input.get("prior")])]
    stores.save(meis, snakemake.output[0], "mei", config=options, seed=seed, inputs=inputs)
