"""Score the images of a series, or those that natural search found, under every judge."""

from v4egg import stores
from v4egg.encoders.ensemble import load_encoder
from v4egg.jobs import job
from v4egg.judges import encoder_judges, outside_judges
from v4egg.transfer import judge_series

with job(snakemake) as run:
    ensembles = {arch: load_encoder(paths) for arch, paths in snakemake.params.members.items()}
    judges = [*encoder_judges(ensembles, snakemake.wildcards.arch), *outside_judges(snakemake.params.outsiders)]
    result = judge_series(stores.load(snakemake.input.series)["image"], judges)
    result.attrs |= {name: snakemake.wildcards[name] for name in ("family", "arch")}
    inputs = [snakemake.input.series, *snakemake.input.members]
    stores.save(result, snakemake.output[0], "judged", inputs=inputs)
