"""Makes the splits of images, over all sessions at once, and each session's responses.

splits.zarr; responses/<session>.zarr: windowed counts, reliability and unit selection
"""


rule split_images:
    input:
        expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
    output:
        directory(f"{RESULTS}/splits.zarr"),
    resources:
        mem_mb=mem_mb(4000),
    params:
        seed=config["seed"],
        policies={
            s: {k: source[k] for k in ("split", "min_repeats") if k in source}
            for s, source in config["sessions"].items()
        },
        options={
            **{k: config["responses"][k] for k in ("validation_fraction", "near_duplicate")},
            "channels": config["images"]["channels"],
        },
        window=config["responses"]["window"],
    script:
        "../scripts/split_images.py"


rule count_responses:
    input:
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/responses/{{session}}.zarr"),
    params:
        seed=config["seed"],
        options={k: config["responses"][k] for k in ("window", "selection")},
    script:
        "../scripts/count_responses.py"
