"""Natural search, and images along a setting: naturalistic ones (MENIs) and diverse ones. Off unless configured."""

ENVIRONMENT = environment("models")


rule search_natural_images:
    input:
        pool=f"{RESULTS}/pool.zarr",
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/targets.zarr",
    output:
        directory(f"{RESULTS}/natural/{{arch}}.zarr"),
    log:
        f"{RESULTS}/logs/search_natural_images/{{arch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/natural/{{arch}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=240,
    params:
        code=code("search_natural_images"),
        options=config["natural"],
        images=config["images"],
    script:
        "../scripts/search_natural_images.py"


rule synthesize_series:
    input:
        prior=f"{RESULTS}/prior.zarr",
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/targets.zarr",
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=TARGET_SESSIONS),
    output:
        directory(f"{RESULTS}/{{family}}/{{arch}}/{{batch}}.zarr"),
    log:
        f"{RESULTS}/logs/synthesize_series/{{family}}-{{arch}}-{{batch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{family}}/{{arch}}-{{batch}}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(6000),
        runtime=240,
    params:
        code=code("synthesize_series"),
        numbers={"seed": config["seed"], "units_per_job": config["synthesis"]["units_per_job"]},
        options=lambda wildcards: {k: v for k, v in config[wildcards.family].items() if k != "architectures"},
    script:
        "../scripts/synthesize_series.py"


rule gather_series:
    input:
        lambda wildcards: [
            f"{RESULTS}/{wildcards.family}/{wildcards.arch}/{batch}.zarr"
            for batch in batches(config[wildcards.family]["units"])
        ],
    output:
        directory(f"{RESULTS}/{{family}}/{{arch}}.zarr"),
    log:
        f"{RESULTS}/logs/gather_series/{{family}}-{{arch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{family}}/gather-{{arch}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(2000),
        runtime=10,
    params:
        code=code("gather_images"),
        kind="series",
    script:
        "../scripts/gather_images.py"


rule judge_series:
    input:
        series=lambda wildcards: series_stores(wildcards.family),
        members=[path for arch in ARCHITECTURES for path in members(arch)],
        external_judges=external_judge_files(TARGET_SESSIONS),
    output:
        directory(f"{RESULTS}/judged/{{family}}.zarr"),
    log:
        f"{RESULTS}/logs/judge_series/{{family}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/judge_series-{{family}}.tsv"
    wildcard_constraints:
        family="meni|diverse|natural",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        code=code("judge_series"),
        members={name: members(name) for name in NAMED},
        external_judges=external_judges(TARGET_SESSIONS),
    script:
        "../scripts/judge_series.py"
