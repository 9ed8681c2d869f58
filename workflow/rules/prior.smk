"""Makes the image pool, which holds no test image, and the diffusion prior and the image decoder trained on it.

pool.zarr; prior.zarr, trained or imported; samples.zarr, unguided, where samples.n is set; decoder.zarr
"""


rule image_pool:
    input:
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/pool.zarr"),
    resources:
        mem_mb=mem_mb(4000),
    params:
        seed=config["seed"],
        options={"size": config["images"]["size"], **{k: config["prior"][k] for k in ("sessions", "photographs")}},
    script:
        "../scripts/image_pool.py"


if config["prior"]["pretrained"]["weights"]:

    rule import_prior:
        input:
            given(config["prior"]["pretrained"]["weights"]),
            pool=f"{RESULTS}/pool.zarr",
        output:
            directory(f"{RESULTS}/prior.zarr"),
        resources:
            gpu=1,
            mem_mb=mem_mb(6000),
        params:
            options=config["prior"]["pretrained"],
        script:
            "../scripts/import_prior.py"

else:

    rule train_prior:
        input:
            pool=f"{RESULTS}/pool.zarr",
        output:
            directory(f"{RESULTS}/prior.zarr"),
        priority: 10  # the longest job: it starts first, and encoders train beside it
        resources:
            gpu=1,
            mem_mb=mem_mb(6000),
            runtime=600,
        params:
            seed=config["seed"],
            state=f"{RESULTS}/.training",
            options={
                "size": config["images"]["size"],
                **{k: v for k, v in config["prior"].items() if k not in ("sessions", "photographs", "pretrained")},
            },
        script:
            "../scripts/train_prior.py"


rule sample_prior:
    input:
        prior=f"{RESULTS}/prior.zarr",
        pool=f"{RESULTS}/pool.zarr",
    output:
        directory(f"{RESULTS}/samples.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        seed=config["seed"],
        options=config["samples"],
    script:
        "../scripts/sample_prior.py"


rule train_decoder:
    input:
        pool=f"{RESULTS}/pool.zarr",
    output:
        directory(f"{RESULTS}/decoder.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(4000),
        runtime=240,
    params:
        seed=config["seed"],
        state=f"{RESULTS}/.training",
        options={"size": config["images"]["size"], **config["decoder"]},
    script:
        "../scripts/train_decoder.py"
