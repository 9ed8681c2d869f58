"""Makes the responses of external judges to natural images, and those of every judge to every image.

judges/<session>.zarr, transfer.zarr
"""


rule judge_natural_images:
    input:
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        external_judges=lambda wildcards: external_judge_files([wildcards.session]),
    output:
        directory(f"{RESULTS}/judges/{{session}}.zarr"),
    resources:
        mem_mb=mem_mb(3000),
        runtime=120,
    params:
        external_judge=lambda wildcards: external_judges([wildcards.session])[wildcards.session],
    script:
        "../scripts/judge_natural_images.py"


rule transfer:
    input:
        images=MEIS,
        members=all_members(),
        targets=f"{RESULTS}/targets.zarr",
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=TARGET_SESSIONS),
        predictions=expand(f"{RESULTS}/predictions/{{session}}.zarr", session=TARGET_SESSIONS),
        external_judges=external_judge_files(TARGET_SESSIONS),
        natural_responses=list(natural_responses(TARGET_SESSIONS).values()),
    output:
        directory(f"{RESULTS}/transfer.zarr"),
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        images={m: {arch: f"{RESULTS}/mei/{m}/{arch}.zarr" for arch in SOURCES} for m in METHODS},
        sources=SOURCES,
        members={name: members(name) for name in NAMED},
        external_judges=external_judges(TARGET_SESSIONS),
        natural_responses=natural_responses(TARGET_SESSIONS),
    script:
        "../scripts/transfer.py"
