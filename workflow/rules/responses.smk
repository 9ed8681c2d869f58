"""Responses: image-wise splits over all sessions, then windowed counts, reliability and unit selection."""

ENVIRONMENT = environment("recordings")


rule split_images:
    input:
        expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
    output:
        directory(f"{RESULTS}/splits.zarr"),
    log:
        f"{RESULTS}/logs/split_images.log",
    benchmark:
        f"{RESULTS}/benchmarks/responses/split_images.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(4000),
        runtime=30,
    params:
        code=code("split_images"),
        seed=config["seed"],
        policies={
            s: {k: source[k] for k in ("split", "min_repeats") if k in source}
            for s, source in config["sessions"].items()
        },
        options={k: config["responses"][k] for k in ("validation_fraction", "near_duplicate")},
    script:
        "../scripts/split_images.py"


rule count_responses:
    input:
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/responses/{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/count_responses/{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/responses/count_responses-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(2000),
        runtime=30,
    params:
        code=code("count_responses"),
        seed=config["seed"],
        options={k: config["responses"][k] for k in ("window", "selection")},
    script:
        "../scripts/count_responses.py"
