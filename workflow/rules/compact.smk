"""Makes compact models: responses of a teacher, then networks of single units, distilled, pruned and trained again.

teacher.zarr; compact/<session>/<batch>.zarr, gathered as compact/<session>.zarr; compact_shared/<session>.zarr: models
that all units of a session share. Where compact.teacher is set.
"""


include: "helpers/compact.smk"


rule teach:
    input:
        members=teaching_members(),
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=COMPACT_SESSIONS),
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/teacher.zarr"),
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(4000),
        runtime=240,
    params:
        state=f"{RESULTS}/.training",
        seed=config["seed"],
        pool={
            "size": config["compact"]["picture_size"],
            "sessions": True,
            "photographs": config["compact"]["photographs"],
        },
        options=compact_options("size", "views", "scale", "contrast", "mirror", "pruning", "test"),
    script:
        "../scripts/teach.py"


rule distil:
    input:
        teacher=f"{RESULTS}/teacher.zarr",
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/compact/{{session}}/{{batch}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(4000),
        runtime=600,
    params:
        state=f"{RESULTS}/.training",
        seed=config["seed"],
        jobs=config["compact"]["jobs"],
        options=compact_options(
            *("widths", "batch_size", "sample", "smoothing", "distillation", "retraining"),
            *("keep_r2", "keep_output", "units_at_once"),
        ),
    script:
        "../scripts/distil.py"


rule gather_compact:
    input:
        compact=lambda wildcards: [
            f"{RESULTS}/compact/{wildcards.session}/{job}.zarr" for job in range(config["compact"]["jobs"])
        ],
        external_judges=lambda wildcards: external_judge_files([wildcards.session]),
    output:
        directory(f"{RESULTS}/compact/{{session}}.zarr"),
    params:
        external_judge=lambda wildcards: external_judges([wildcards.session]).get(wildcards.session, {}),
    script:
        "../scripts/gather_compact.py"


rule distil_shared:
    input:
        teacher=f"{RESULTS}/teacher.zarr",
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/compact_shared/{{session}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(4000),
        runtime=240,
    params:
        state=f"{RESULTS}/.training",
        seed=config["seed"],
        options=compact_options("shared", "widths", "batch_size", "sample", "smoothing", "distillation"),
    script:
        "../scripts/distil_shared.py"
