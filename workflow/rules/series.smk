"""Makes natural images found by search, and images along a setting: naturalistic ones (MENIs) and diverse ones.

natural/<arch>.zarr; <sweep>/<arch>/<batch>.zarr, gathered as <sweep>/<arch>.zarr; judged/<stage>.zarr: under every
judge. Each where natural.k, meni.energy_scales or diverse.weights is set.
"""


rule search_natural_images:
    input:
        pool=f"{RESULTS}/pool.zarr",
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/targets.zarr",
    output:
        directory(f"{RESULTS}/natural/{{arch}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=240,
    params:
        options=config["natural"],
        images={key: config["images"][key] for key in ("size", "aspect", "background")},
        folder=lambda wildcards: folder_digest(config["natural"]["folder"]),
    script:
        "../scripts/search_natural_images.py"


rule synthesize_series:
    input:
        prior=f"{RESULTS}/prior.zarr",
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/targets.zarr",
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=TARGET_SESSIONS),
    output:
        directory(f"{RESULTS}/{{sweep}}/{{arch}}/{{batch}}.zarr"),
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(6000),
        runtime=240,
    params:
        numbers={"seed": config["seed"], "units_per_job": config["synthesis"]["units_per_job"]},
        options=lambda wildcards: {k: v for k, v in config[wildcards.sweep].items() if k != "architectures"},
    script:
        "../scripts/synthesize_series.py"


rule gather_series:
    input:
        lambda wildcards: [
            f"{RESULTS}/{wildcards.sweep}/{wildcards.arch}/{batch}.zarr"
            for batch in batches(config[wildcards.sweep]["units"])
        ],
    output:
        directory(f"{RESULTS}/{{sweep}}/{{arch}}.zarr"),
    params:
        kind="series",
    script:
        "../scripts/gather_images.py"


rule judge_series:
    input:
        series=lambda wildcards: series_stores(wildcards.sweep),
        members=all_members(),
        external_judges=external_judge_files(TARGET_SESSIONS),
    output:
        directory(f"{RESULTS}/judged/{{sweep}}.zarr"),
    wildcard_constraints:
        sweep="meni|diverse|natural",
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        members={name: members(name) for name in NAMED},
        external_judges=external_judges(TARGET_SESSIONS),
    script:
        "../scripts/judge_series.py"
