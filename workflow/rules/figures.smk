"""Figures and their numbers, the summary, and the configuration as it was used."""

ENVIRONMENT = environment("figures")

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
            options=config["gallery"] if figure == "mei_gallery" else {},
        script:
            "../scripts/figure.py"


rule summarise:
    input:
        scores=f"{RESULTS}/encoders/scores.zarr",
        transfer=f"{RESULTS}/transfer.zarr",
        meis=[f"{RESULTS}/mei/{method}/{arch}.zarr" for method in METHODS for arch in SOURCES],
        compact=[f"{RESULTS}/compact/{s}.zarr" for s in COMPACT_SESSIONS if "compact" in STAGES],
        adversarial=analysed("adversarial", "adversarial"),
        tables=[f"{RESULTS}/figures/{figure}.csv" for figure in FIGURES if figure in SUMMARISED],
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
