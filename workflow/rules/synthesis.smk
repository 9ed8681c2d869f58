"""Synthesis: which units get images, and their most exciting images by each method, in batches of units."""

ENVIRONMENT = environment("models")


rule rank_units:
    input:
        scores=f"{RESULTS}/encoders/scores.zarr",
    output:
        directory(f"{RESULTS}/ranking.zarr"),
    log:
        f"{RESULTS}/logs/rank_units.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesis/rank_units.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(1000),
        runtime=10,
    params:
        code=code("rank_units"),
        options={"sessions": TARGET_SESSIONS, "min_correlation": config["targets"]["min_correlation"]},
    script:
        "../scripts/rank_units.py"


rule select_targets:
    input:
        ranking=f"{RESULTS}/ranking.zarr",
    output:
        directory(f"{RESULTS}/targets.zarr"),
    log:
        f"{RESULTS}/logs/select_targets.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesis/select_targets.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(1000),
        runtime=10,
    params:
        code=code("select_targets"),
        units=config["targets"]["units"],
    script:
        "../scripts/select_targets.py"


rule synthesize:
    input:
        unpack(lambda wildcards: method_inputs(wildcards.method)),
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/ranking.zarr",  # not targets.zarr: one unit more must not touch the other batches
    output:
        directory(f"{RESULTS}/mei/{{method}}/{{arch}}/{{batch}}.zarr"),
    log:
        f"{RESULTS}/logs/synthesize/{{method}}-{{arch}}-{{batch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesis/{{method}}-{{arch}}-{{batch}}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(6000),
        runtime=240,
    params:
        code=code("synthesize"),
        state=f"{RESULTS}/.training",
        numbers=lambda wildcards: {
            "seed": config["seed"],
            **{k: config["synthesis"][k] for k in ("samples", "units_per_job")},
            "stop": batch_stop(wildcards.batch),
        },
        options=lambda wildcards: config["synthesis"]["methods"][wildcards.method],
    script:
        "../scripts/synthesize.py"


rule gather_images:
    input:
        [f"{RESULTS}/mei/{{method}}/{{arch}}/{batch}.zarr" for batch in batches()],
    output:
        directory(f"{RESULTS}/mei/{{method}}/{{arch}}.zarr"),
    log:
        f"{RESULTS}/logs/gather_images/{{method}}-{{arch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/synthesis/gather_images-{{method}}-{{arch}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(2000),
        runtime=10,
    params:
        code=code("gather_images"),
        kind="mei",
    script:
        "../scripts/gather_images.py"
