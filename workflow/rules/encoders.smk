"""Encoders: the members of each architecture's ensemble, and the baselines, and all scores beside yardsticks."""

ENVIRONMENT = environment("models")


rule extract_features:
    input:
        unpack(lambda wildcards: prior_of_backbone(FROZEN[wildcards.backbone]["backbone"])),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/features/{{backbone}}/{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/extract_features/{{backbone}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{backbone}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("extract_features"),
        seed=config["seed"],
        options=lambda wildcards: FROZEN[wildcards.backbone],
    script:
        "../scripts/extract_features.py"


rule train_encoder:
    input:
        unpack(lambda wildcards: frozen_inputs(wildcards.arch)),
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
    output:
        directory(f"{RESULTS}/encoders/{{arch}}/{{member}}.zarr"),
    log:
        f"{RESULTS}/logs/train_encoder/{{arch}}-{{member}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encoders/train_encoder-{{arch}}-{{member}}.tsv"
    wildcard_constraints:
        arch="|".join(a for a in ARCHITECTURES if a not in REFITTED),
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
        options=lambda wildcards: training_options(wildcards.arch),
    script:
        "../scripts/train_encoder.py"


rule refit_encoder:
    input:
        unpack(lambda wildcards: frozen_inputs(wildcards.arch)),
        member=lambda wildcards: f"{RESULTS}/encoders/{REFITTED[wildcards.arch]}/{wildcards.member}.zarr",
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
    output:
        directory(f"{RESULTS}/encoders/{{arch}}/{{member}}.zarr"),
    log:
        f"{RESULTS}/logs/refit_encoder/{{arch}}-{{member}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encoders/refit_encoder-{{arch}}-{{member}}.tsv"
    wildcard_constraints:
        arch="|".join(REFITTED) or "none",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("refit_encoder"),
        architecture=lambda wildcards: trained_as(wildcards.arch),
        options=lambda wildcards: training_options(wildcards.arch),
    script:
        "../scripts/refit_encoder.py"


rule fit_baselines:
    input:
        unpack(prior_of_baselines),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/baselines/{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/fit_baselines/{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/baselines/fit_baselines-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("fit_baselines"),
        options={"seed": config["seed"], "baselines": config["encoders"]["baselines"]},
    script:
        "../scripts/fit_baselines.py"


rule predict_responses:
    input:
        members=[path for arch in ARCHITECTURES for path in members(arch)],
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/predictions/{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/predict_responses/{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/predict_responses-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=120,
    params:
        code=code("predict_responses"),
        members={arch: members(arch) for arch in ARCHITECTURES},
        every_image=lambda wildcards: wildcards.session in TARGET_SESSIONS,  # as judges of images need them
    script:
        "../scripts/predict_responses.py"


rule score_encoders:
    input:
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
        predictions=expand(f"{RESULTS}/predictions/{{session}}.zarr", session=SESSIONS),
        natural_responses=list(natural_responses(TEST_SESSIONS).values()),
        baselines=list(baselines(TEST_SESSIONS).values()),
    output:
        directory(f"{RESULTS}/encoders/scores.zarr"),
    log:
        f"{RESULTS}/logs/score_encoders.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/score_encoders.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("score_encoders"),
        combined_architectures=combined_architectures(),
        natural_responses=[natural_responses(TEST_SESSIONS).get(s) for s in SESSIONS],
        baselines=[baselines(TEST_SESSIONS).get(s) for s in SESSIONS],
    script:
        "../scripts/score_encoders.py"
