"""Compare reconstructions with the true images, in the responses of every judge and as pictures."""

from v4egg.encoders.ensemble import load_ensembles
from v4egg.evaluation.judges import encoder_judges, load_external_judges
from v4egg.evaluation.reconstruction_scores import score_reconstructions
from v4egg.evaluation.transfer import join_architectures
from v4egg.io import stores
from v4egg.workflow.jobs import job

with job(snakemake) as run:
    ensembles = load_ensembles(run.local(snakemake.params.members))
    external_judges = load_external_judges(run.local(snakemake.params.external_judges))
    parts = {}
    for path in run.progress(snakemake.input.reconstructions):
        reconstructions = stores.load(path, "reconstruction")
        arch = reconstructions.attrs["arch"]
        judges = [*encoder_judges(ensembles, arch), *external_judges]
        parts[arch] = score_reconstructions(reconstructions, judges, ensembles[arch].units)
    inputs = [*snakemake.input.reconstructions, *snakemake.input.members]
    stores.save(join_architectures(parts), snakemake.output[0], "reconstruction_scores", inputs=inputs)
