"""v4egg: recordings of macaque V4 -> the images that excite its neurons -> how far those images can be trusted."""

from snakemake.utils import min_version

min_version("9.0")


if "name" not in config:  # a configuration of its own replaces the demo; an overlay without a name is laid over it

    configfile: workflow.source_path("config/config.yaml")


include: "workflow/rules/setup.smk"


with one_line_errors():
    config = check(config, HOME / "workflow/schemas/config.schema.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/prior.smk"
include: "workflow/rules/encoders.smk"
include: "workflow/rules/synthesis.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/closed_loop.smk"
include: "workflow/rules/series.smk"
include: "workflow/rules/reconstruction.smk"
include: "workflow/rules/evolution.smk"
include: "workflow/rules/compact.smk"
include: "workflow/rules/circuits.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        expand(f"{RESULTS}/figures/{{figure}}.{{kind}}", figure=FIGURES, kind=["svg", "png", "csv"]),
        [f"{RESULTS}/natural/{arch}.zarr" for arch in SOURCES if "natural" in STAGES],
        f"{RESULTS}/summary.json",
        f"{RESULTS}/config.yaml",
    localrule: True


onsuccess:
    show_summary()
