"""Makes rounds of a closed loop: images synthesized, shown to the simulated brain, trained on, and synthesized again.

closed_loop/<arch>-<session>.zarr, where closed_loop.rounds is set
"""


include: "helpers/closed_loop.smk"


rule closed_loop:
    input:
        unpack(lambda wildcards: method_inputs(config["closed_loop"]["method"])),
        members=lambda wildcards: members(wildcards.arch, "generator"),
        targets=f"{RESULTS}/targets.zarr",
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
        splits=f"{RESULTS}/splits.zarr",
        brain=f"{RESULTS}/simulated/{{session}}.brain.zarr",
    output:
        directory(f"{RESULTS}/closed_loop/{{arch}}-{{session}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(3000),
        runtime=120,
    params:
        seed=config["seed"],
        loop=config["closed_loop"],
        training=lambda wildcards: training_options(wildcards.arch),
        synthesis=config["synthesis"]["methods"].get(config["closed_loop"]["method"]),
    script:
        "../scripts/closed_loop.py"
