"""The image prior: a pool that holds no test image, and a diffusion model and an image decoder trained on it."""

ENVIRONMENT = environment("models")


rule image_pool:
    input:
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        splits=f"{RESULTS}/splits.zarr",
    output:
        directory(f"{RESULTS}/pool.zarr"),
    log:
        f"{RESULTS}/logs/image_pool.log",
    benchmark:
        f"{RESULTS}/benchmarks/prior/image_pool.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(4000),
        runtime=30,
    params:
        code=code("image_pool"),
        seed=config["seed"],
        options={**config["images"], **{k: config["prior"][k] for k in ("sessions", "photographs")}},
    script:
        "../scripts/image_pool.py"


if config["prior"]["pretrained"]["weights"]:

    rule import_prior:
        output:
            directory(f"{RESULTS}/prior.zarr"),
        log:
            f"{RESULTS}/logs/import_prior.log",
        benchmark:
            f"{RESULTS}/benchmarks/prior/import_prior.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=mem_mb(6000),
            runtime=30,
        params:
            code=code("import_prior"),
            options=config["prior"]["pretrained"],
        script:
            "../scripts/import_prior.py"

else:

    rule train_prior:
        input:
            pool=f"{RESULTS}/pool.zarr",
        output:
            directory(f"{RESULTS}/prior.zarr"),
        log:
            f"{RESULTS}/logs/train_prior.log",
        benchmark:
            f"{RESULTS}/benchmarks/prior/train_prior.tsv"
        priority: 10  # the longest job: it starts first, and encoders train beside it
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            gpu=1,
            mem_mb=mem_mb(6000),
            runtime=600,
        params:
            code=code("train_prior"),
            seed=config["seed"],
            state=f"{RESULTS}/.training",
            options={
                **config["images"],
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
    log:
        f"{RESULTS}/logs/sample_prior.log",
    benchmark:
        f"{RESULTS}/benchmarks/prior/sample_prior.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("sample_prior"),
        seed=config["seed"],
        options=config["samples"],
    script:
        "../scripts/sample_prior.py"


rule train_decoder:
    input:
        pool=f"{RESULTS}/pool.zarr",
    output:
        directory(f"{RESULTS}/decoder.zarr"),
    log:
        f"{RESULTS}/logs/train_decoder.log",
    benchmark:
        f"{RESULTS}/benchmarks/prior/train_decoder.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(4000),
        runtime=240,
    params:
        code=code("train_decoder"),
        seed=config["seed"],
        state=f"{RESULTS}/.training",
        options={**config["images"], **config["decoder"]},
    script:
        "../scripts/train_decoder.py"
