"""Circuits and adversarial images of compact models: our students, the published models, or both. Off unless configured."""

ENVIRONMENT = environment("models")


rule tune_compact_models:
    input:
        lambda wildcards: compact_files(wildcards.models, wildcards.session),
    output:
        directory(f"{RESULTS}/tuning/{{models}}-{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/tune_compact_models/{{models}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/circuits/tuning-{{models}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(2000),
        runtime=60,
    params:
        code=code("tune_compact_models"),
        path=lambda wildcards: compact_path(wildcards.models, wildcards.session),
        options={key: config["circuits"][key] for key in ("places", "samples")},
    script:
        "../scripts/tune_compact_models.py"


rule compare_filters:
    input:
        lambda wildcards: compact_files(wildcards.models, wildcards.session),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/circuits/{{models}}-{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/compare_filters/{{models}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/circuits/filters-{{models}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("compare_filters"),
        path=lambda wildcards: compact_path(wildcards.models, wildcards.session),
        numbers={"images": config["circuits"]["images"], "seed": config["seed"]},
    script:
        "../scripts/compare_filters.py"


rule find_dot_detector:
    input:
        lambda wildcards: [p for s in compact_sessions(wildcards.models) for p in compact_files(wildcards.models, s)],
        tuning=lambda wildcards: [
            f"{RESULTS}/tuning/{wildcards.models}-{s}.zarr" for s in compact_sessions(wildcards.models)
        ],
    output:
        directory(f"{RESULTS}/dot_detector/{{models}}.zarr"),
    log:
        f"{RESULTS}/logs/find_dot_detector/{{models}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/circuits/dot_detector-{{models}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        code=code("find_dot_detector"),
        paths=lambda wildcards: {s: compact_path(wildcards.models, s) for s in compact_sessions(wildcards.models)},
        numbers={"draws": config["circuits"]["draws"], "seed": config["seed"]},
    script:
        "../scripts/find_dot_detector.py"


rule adversarial_images:
    input:
        unpack(lambda wildcards: compact_judges(wildcards.session)),
        files=lambda wildcards: compact_files(wildcards.models, wildcards.session),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/adversarial/{{models}}-{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/adversarial_images/{{models}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adversarial/{{models}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(4000),
        runtime=600,
    params:
        code=code("adversarial_images"),
        path=lambda wildcards: compact_path(wildcards.models, wildcards.session),
        members={arch: members(arch) for arch in compact_judged()},
        teachers=teachers(),
        external_judges=lambda wildcards: external_judges([wildcards.session]),
        options={key: config["adversarial"][key] for key in ("epsilons", "images", "steps", "draws", "reference")},
        seed=config["seed"],
    script:
        "../scripts/adversarial_images.py"


rule maximize_compact_models:
    input:
        lambda wildcards: compact_files(wildcards.models, wildcards.session),
    output:
        directory(f"{RESULTS}/maximizing/{{models}}-{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/maximize_compact_models/{{models}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adversarial/maximizing-{{models}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(3000),
        runtime=600,
    params:
        code=code("maximize_compact_models"),
        path=lambda wildcards: compact_path(wildcards.models, wildcards.session),
        options=config["adversarial"]["maximizing"],
        seed=config["seed"],
    script:
        "../scripts/maximize_compact_models.py"


rule transfer_maximizing:
    input:
        unpack(lambda wildcards: compact_judges(wildcards.session)),
        files=lambda wildcards: compact_files(wildcards.models, wildcards.session),
        images=f"{RESULTS}/maximizing/{{models}}-{{session}}.zarr",
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        natural_responses=lambda wildcards: list(natural_responses([wildcards.session]).values()),
    output:
        directory(f"{RESULTS}/transfer_maximizing/{{models}}-{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/transfer_maximizing/{{models}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adversarial/transfer_maximizing-{{models}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(4000),
        runtime=240,
    params:
        code=code("transfer_maximizing"),
        path=lambda wildcards: compact_path(wildcards.models, wildcards.session),
        members={arch: members(arch) for arch in compact_judged()},
        teachers=teachers(),
        external_judges=lambda wildcards: external_judges([wildcards.session]),
    script:
        "../scripts/transfer_maximizing.py"
