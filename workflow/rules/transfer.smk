"""Transfer: what judges from outside say of natural images, and every image under every judge."""

ENVIRONMENT = environment("models")


rule judge_natural_images:
    input:
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        external_judges=lambda wildcards: external_judge_files([wildcards.session]),
    output:
        directory(f"{RESULTS}/judges/{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/judge_natural_images/{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/judge_natural_images-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(3000),
        runtime=120,
    params:
        code=code("judge_natural_images"),
        external_judge=lambda wildcards: external_judges([wildcards.session])[wildcards.session],
    script:
        "../scripts/judge_natural_images.py"


rule transfer:
    input:
        images=[f"{RESULTS}/mei/{method}/{arch}.zarr" for method in METHODS for arch in SOURCES],
        members=[path for arch in ARCHITECTURES for path in members(arch)],
        targets=f"{RESULTS}/targets.zarr",
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=TARGET_SESSIONS),
        predictions=expand(f"{RESULTS}/predictions/{{session}}.zarr", session=TARGET_SESSIONS),
        external_judges=external_judge_files(TARGET_SESSIONS),
        natural_responses=list(natural_responses(TARGET_SESSIONS).values()),
    output:
        directory(f"{RESULTS}/transfer.zarr"),
    log:
        f"{RESULTS}/logs/transfer.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/transfer.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        code=code("transfer"),
        images={m: {arch: f"{RESULTS}/mei/{m}/{arch}.zarr" for arch in SOURCES} for m in METHODS},
        sources=SOURCES,
        members={name: members(name) for name in NAMED},
        external_judges=external_judges(TARGET_SESSIONS),
        natural_responses=natural_responses(TARGET_SESSIONS),
    script:
        "../scripts/transfer.py"
