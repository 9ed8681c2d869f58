"""Makes reconstructions of test images from the responses to them, and their scores.

reconstruction/<arch>.zarr, judged/reconstruction.zarr, where reconstruction.images is set
"""


rule reconstruct:
    input:
        prior=f"{RESULTS}/prior.zarr",
        members=lambda wildcards: members(wildcards.arch, "generator"),
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=RECONSTRUCTED_SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=RECONSTRUCTED_SESSIONS),
    output:
        directory(f"{RESULTS}/reconstruction/{{arch}}.zarr"),
    threads: 2
    resources:
        gpu=1,
        mem_mb=mem_mb(6000),
        runtime=600,
    params:
        seed=config["seed"],
        options={k: v for k, v in config["reconstruction"].items() if k != "architectures"},
    script:
        "../scripts/reconstruct.py"


rule score_reconstructions:
    input:
        reconstructions=series_stores("reconstruction"),
        members=all_members(),
        external_judges=external_judge_files(RECONSTRUCTED_SESSIONS),
    output:
        directory(f"{RESULTS}/judged/reconstruction.zarr"),
    threads: 2
    resources:
        mem_mb=mem_mb(4000),
        runtime=120,
    params:
        members={name: members(name) for name in NAMED},
        external_judges=external_judges(RECONSTRUCTED_SESSIONS),
    script:
        "../scripts/score_reconstructions.py"
