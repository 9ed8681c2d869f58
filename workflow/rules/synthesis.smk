"""Makes the choice of units that get images, and their most exciting images by each method, in batches of units.

ranking.zarr, targets.zarr; mei/<method>/<arch>/<batch>.zarr, gathered as mei/<method>/<arch>.zarr
"""


rule rank_units:
    input:
        scores=f"{RESULTS}/encoders/scores.zarr",
    output:
        directory(f"{RESULTS}/ranking.zarr"),
    params:
        options={"sessions": TARGET_SESSIONS, "min_correlation": config["targets"]["min_correlation"]},
    script:
        "../scripts/rank_units.py"


rule select_targets:
    input:
        ranking=f"{RESULTS}/ranking.zarr",
    output:
        directory(f"{RESULTS}/targets.zarr"),
    params:
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
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(6000),
        runtime=240,
    params:
        state=f"{RESULTS}/.training",
        numbers=lambda wildcards: {
            "seed": config["seed"],
            **{k: config["synthesis"][k] for k in ("samples", "units_per_job")},
            "stop": min(config["targets"]["units"], (int(wildcards.batch) + 1) * config["synthesis"]["units_per_job"]),
        },
        options=lambda wildcards: config["synthesis"]["methods"][wildcards.method],
    script:
        "../scripts/synthesize.py"


rule gather_images:
    input:
        [f"{RESULTS}/mei/{{method}}/{{arch}}/{batch}.zarr" for batch in batches()],
    output:
        directory(f"{RESULTS}/mei/{{method}}/{{arch}}.zarr"),
    params:
        kind="mei",
    script:
        "../scripts/gather_images.py"
