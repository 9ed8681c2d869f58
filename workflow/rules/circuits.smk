"""Makes analyses of compact models: their tuning, circuits, adversarial and maximizing images.

<model_source> is students or published: tuning/<model_source>-<session>.zarr, dot_detector/<model_source>.zarr,
circuits/<model_source>-<session>.zarr, where circuits.models is set; adversarial/<model_source>-<session>.zarr,
maximizing/<model_source>-<session>.zarr and transfer_maximizing/..., under every judge, where adversarial.models is set
"""


rule tune_compact_models:
    input:
        lambda wildcards: compact_files(wildcards.model_source, wildcards.session),
    output:
        directory(f"{RESULTS}/tuning/{{model_source}}-{{session}}.zarr"),
    resources:
        runtime=60,
    params:
        path=lambda wildcards: compact_path(wildcards.model_source, wildcards.session),
        options={key: config["circuits"][key] for key in ("places", "samples")},
    script:
        "../scripts/tune_compact_models.py"


rule compare_filters:
    input:
        lambda wildcards: compact_files(wildcards.model_source, wildcards.session),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/circuits/{{model_source}}-{{session}}.zarr"),
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        path=lambda wildcards: compact_path(wildcards.model_source, wildcards.session),
        numbers={"images": config["circuits"]["images"], "seed": config["seed"]},
    script:
        "../scripts/compare_filters.py"


rule find_dot_detector:
    input:
        lambda wildcards: [
            path
            for session in compact_sessions(wildcards.model_source)
            for path in compact_files(wildcards.model_source, session)
        ],
        tuning=lambda wildcards: [
            f"{RESULTS}/tuning/{wildcards.model_source}-{session}.zarr"
            for session in compact_sessions(wildcards.model_source)
        ],
    output:
        directory(f"{RESULTS}/dot_detector/{{model_source}}.zarr"),
    resources:
        mem_mb=mem_mb(3000),
        runtime=60,
    params:
        paths=lambda wildcards: {
            session: compact_path(wildcards.model_source, session)
            for session in compact_sessions(wildcards.model_source)
        },
        numbers={"draws": config["circuits"]["draws"], "seed": config["seed"]},
    script:
        "../scripts/find_dot_detector.py"


rule adversarial_images:
    input:
        unpack(lambda wildcards: compact_judges(wildcards.session)),
        files=lambda wildcards: compact_files(wildcards.model_source, wildcards.session),
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        directory(f"{RESULTS}/adversarial/{{model_source}}-{{session}}.zarr"),
    resources:
        mem_mb=mem_mb(4000),
        runtime=600,
    params:
        path=lambda wildcards: compact_path(wildcards.model_source, wildcards.session),
        members={arch: members(arch) for arch in compact_judged()},
        teachers=teachers(),
        external_judges=lambda wildcards: external_judges([wildcards.session]),
        options={key: config["adversarial"][key] for key in ("epsilons", "images", "steps", "draws", "reference")},
        seed=config["seed"],
    script:
        "../scripts/adversarial_images.py"


rule maximize_compact_models:
    input:
        lambda wildcards: compact_files(wildcards.model_source, wildcards.session),
    output:
        directory(f"{RESULTS}/maximizing/{{model_source}}-{{session}}.zarr"),
    resources:
        mem_mb=mem_mb(3000),
        runtime=600,
    params:
        path=lambda wildcards: compact_path(wildcards.model_source, wildcards.session),
        options=config["adversarial"]["maximizing"],
        seed=config["seed"],
    script:
        "../scripts/maximize_compact_models.py"


rule transfer_maximizing:
    input:
        unpack(lambda wildcards: compact_judges(wildcards.session)),
        files=lambda wildcards: compact_files(wildcards.model_source, wildcards.session),
        images=f"{RESULTS}/maximizing/{{model_source}}-{{session}}.zarr",
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        natural_responses=lambda wildcards: list(natural_responses([wildcards.session]).values()),
    output:
        directory(f"{RESULTS}/transfer_maximizing/{{model_source}}-{{session}}.zarr"),
    resources:
        mem_mb=mem_mb(4000),
        runtime=240,
    params:
        path=lambda wildcards: compact_path(wildcards.model_source, wildcards.session),
        members={arch: members(arch) for arch in compact_judged()},
        teachers=teachers(),
        external_judges=lambda wildcards: external_judges([wildcards.session]),
    script:
        "../scripts/transfer_maximizing.py"
