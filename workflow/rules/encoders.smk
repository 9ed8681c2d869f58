"""Encoders: the members of each architecture's ensemble, and their scores beside yardsticks."""


rule train_encoder:
    input:
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
    output:
        directory(f"{RESULTS}/encoders/{{arch}}/{{member}}.zarr"),
    log:
        f"{RESULTS}/logs/train_encoder/{{arch}}-{{member}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encoders/train_encoder-{{arch}}-{{member}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=240,
    params:
        code=code("train_encoder"),
        seed=config["seed"],
        state=f"{RESULTS}/.training",
        architecture=lambda wildcards: config["encoders"]["architectures"][wildcards.arch],
        role=lambda wildcards: ROLES[wildcards.member],
        options={**config["images"], **config["encoders"]["training"]},
    script:
        "../scripts/train_encoder.py"


rule score_encoders:
    input:
        members=[path for arch in ARCHITECTURES for path in members(arch)],
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
        natural_responses=list(natural_responses(TEST_SESSIONS).values()),
    output:
        directory(f"{RESULTS}/encoders/scores.zarr"),
    log:
        f"{RESULTS}/logs/score_encoders.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/score_encoders.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        code=code("score_encoders"),
        members={arch: members(arch) for arch in ARCHITECTURES},
        natural_responses=[natural_responses(TEST_SESSIONS).get(s) for s in SESSIONS],
    script:
        "../scripts/score_encoders.py"
