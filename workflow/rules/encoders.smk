"""Makes the members of each architecture's ensemble, their predictions, the baselines, and the scores of all.

features/<frozen network>/<session>.zarr, encoders/<arch>/<member>.zarr, baselines/<session>.zarr,
predictions/<session>.zarr, encoders/scores.zarr
"""


include: "helpers/encoders.smk"


rule extract_features:
    input:
        unpack(lambda wildcards: backbone_inputs(FROZEN[wildcards.backbone]["backbone"])),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/features/{{backbone}}/{{session}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        seed=config["seed"],
        options=lambda wildcards: FROZEN[wildcards.backbone],
    script:
        "../scripts/extract_features.py"


rule train_encoder:
    input:
        unpack(lambda wildcards: frozen_inputs(wildcards.arch)),
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/encoders/{{arch}}/{{member}}.zarr"),
    wildcard_constraints:
        arch="|".join(a for a in ARCHITECTURES if a not in REFITTED),
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=240,
    params:
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
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/encoders/{{arch}}/{{member}}.zarr"),
    wildcard_constraints:
        arch="|".join(REFITTED) or "none",
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        architecture=lambda wildcards: architecture_of(wildcards.arch),
        options=lambda wildcards: training_options(wildcards.arch),
    script:
        "../scripts/refit_encoder.py"


rule fit_baselines:
    input:
        unpack(baseline_inputs),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/baselines/{{session}}.zarr"),
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        options={"seed": config["seed"], "baselines": config["encoders"]["baselines"]},
    script:
        "../scripts/fit_baselines.py"


rule predict_responses:
    input:
        members=all_members(),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/predictions/{{session}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=120,
    params:
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
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        combined_architectures=combined_architectures(),
        natural_responses=[natural_responses(TEST_SESSIONS).get(s) for s in SESSIONS],
        baselines=[baselines(TEST_SESSIONS).get(s) for s in SESSIONS],
    script:
        "../scripts/score_encoders.py"
