"""Reconstruction: test images from the responses to them, and how good they are. Off unless configured."""

ENVIRONMENT = environment("models")


rule reconstruct:
    input:
        prior=f"{RESULTS}/prior.zarr",
        members=lambda wildcards: members(wildcards.arch, "generator"),
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=RECONSTRUCTED_SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=RECONSTRUCTED_SESSIONS),
    output:
        directory(f"{RESULTS}/reconstruction/{{arch}}.zarr"),
    log:
        f"{RESULTS}/logs/reconstruct/{{arch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reconstruction/{{arch}}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(6000),
        runtime=600,
    params:
        code=code("reconstruct"),
        seed=config["seed"],
        options={k: v for k, v in config["reconstruction"].items() if k != "architectures"},
    script:
        "../scripts/reconstruct.py"


rule score_reconstructions:
    input:
        reconstructions=series_stores("reconstruction"),
        members=[path for arch in ARCHITECTURES for path in members(arch)],
        external_judges=external_judge_files(RECONSTRUCTED_SESSIONS),
    output:
        directory(f"{RESULTS}/judged/reconstruction.zarr"),
    log:
        f"{RESULTS}/logs/score_reconstructions.log",
    benchmark:
        f"{RESULTS}/benchmarks/reconstruction/score_reconstructions.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        code=code("score_reconstructions"),
        members={name: members(name) for name in NAMED},
        external_judges=external_judges(RECONSTRUCTED_SESSIONS),
    script:
        "../scripts/score_reconstructions.py"
