"""Closed loop: images made, shown to the simulated brain, learned from, and made again; off where rounds is 0."""

ENVIRONMENT = environment("models")


rule closed_loop:
    input:
        unpack(lambda wildcards: method_inputs(config["closed_loop"]["method"])),
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/targets.zarr",
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
        brain=f"{RESULTS}/simulated/{{session}}.brain.zarr",
    output:
        directory(f"{RESULTS}/closed_loop/{{arch}}-{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/closed_loop/{{arch}}-{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/closed_loop/{{arch}}-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=120,
    params:
        code=code("closed_loop"),
        seed=config["seed"],
        loop=config["closed_loop"],
        training=lambda wildcards: training_options(wildcards.arch),
        synthesis=config["synthesis"]["methods"].get(config["closed_loop"]["method"]),
    script:
        "../scripts/closed_loop.py"
