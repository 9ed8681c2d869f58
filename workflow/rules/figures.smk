"""Figures and their numbers, the summary, and the configuration as it was used."""

from v4egg import figures

ENVIRONMENT = environment("figures")

LISTS = {  # what the inputs of figures are made for; v4egg.figures names these lists in braces
    "method": METHODS,
    "source": SOURCES,
    **{stage: made_by(stage) for stage in ("meni", "natural", "diverse", "reconstruction")},
    "loop": [f"{loop_architecture()}-{session}" for session in LOOP_SESSIONS],
    "condition": [condition for condition in CONDITIONS if condition not in VARIED],
    "compared_condition": compared_settings(),
    "compact": COMPACT_SESSIONS,
    "compact_shared": COMPACT_SESSIONS if config["compact"]["shared"] else [],
    "circuits": analysed("circuits"),
    "circuits_source": config["circuits"]["models"],
    "adversarial": analysed("adversarial"),
}
FIGURES = [name for name, figure in figures.FIGURES.items() if figure.is_on(config, LISTS)]


def figure_inputs(name):
    """The stores that a figure is made from, by the argument that they are."""
    return figures.FIGURES[name].paths(RESULTS, LISTS)


def summarised_inputs():
    """The stores of the figures whose statistics the summary repeats, as <figure>__<argument>."""
    names = [name for name in FIGURES if figures.FIGURES[name].summarised]
    return {f"{name}__{argument}": paths for name in names for argument, paths in figure_inputs(name).items()}


for figure in FIGURES:  # a rule each, since a caption takes no wildcard

    rule:
        name:
            f"figure_{figure}"
        input:
            **figure_inputs(figure),
        output:
            svg=report(
                f"{RESULTS}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": figure.replace("_", " ")},
            ),
            png=f"{RESULTS}/figures/{figure}.png",
            csv=f"{RESULTS}/figures/{figure}.csv",
        log:
            f"{RESULTS}/logs/figure/{figure}.log",
        benchmark:
            f"{RESULTS}/benchmarks/figures/{figure}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=mem_mb(2000),
            runtime=10,
        params:
            code=code("figure"),
            options=config.get(figures.FIGURES[figure].options, {}),
        script:
            "../scripts/figure.py"


rule summarise:
    input:
        scores=f"{RESULTS}/encoders/scores.zarr",
        transfer=f"{RESULTS}/transfer.zarr",
        meis=[f"{RESULTS}/mei/{method}/{arch}.zarr" for method in METHODS for arch in SOURCES],
        compact=[f"{RESULTS}/compact/{s}.zarr" for s in COMPACT_SESSIONS if "compact" in STAGES],
        adversarial=[f"{RESULTS}/adversarial/{models}.zarr" for models in LISTS["adversarial"]],
        **summarised_inputs(),
    output:
        f"{RESULTS}/summary.json",
    log:
        f"{RESULTS}/logs/summarise.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(1000),
        runtime=10,
    params:
        code=code("summarise"),
        benchmarks=f"{RESULTS}/benchmarks",
    script:
        "../scripts/summarise.py"


rule write_configuration:
    output:
        f"{RESULTS}/config.yaml",
    log:
        f"{RESULTS}/logs/write_configuration.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=code("write_configuration"),
        config=config,
    script:
        "../scripts/write_configuration.py"
