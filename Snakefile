"""The workflow lies in workflow/Snakefile, where workflow catalogs look for it; from here it runs as plain `snakemake`."""


include: "workflow/Snakefile"


workflow.default_target = "all"  # an included file does not choose the default target
