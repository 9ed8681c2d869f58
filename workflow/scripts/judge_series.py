"""Score the images of a sweep, or those that natural search found, under every judge."""

from v4egg.encoders.ensemble import load_ensembles
from v4egg.evaluation.judges import encoder_judges, load_external_judges
from v4egg.evaluation.transfer import join_architectures, judge_series
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    ensembles = load_ensembles(run.local(snakemake.params.members))
    external_judges = load_external_judges(run.local(snakemake.params.external_judges))
    parts = {}
    for path in run.progress(snakemake.input.series):
        series = stores.load(path)
        arch = series.attrs["arch"]
        parts[arch] = judge_series(series["image"], [*encoder_judges(ensembles, arch), *external_judges])
    result = join_architectures(parts)
    result.attrs |= {"sweep": snakemake.wildcards.sweep}
    stores.save(result, snakemake.output[0], "judged", inputs=[*snakemake.input.series, *snakemake.input.members])
