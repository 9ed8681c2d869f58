"""Makes XDream's experiment on black-box neurons, a store for each condition.

evolution/<condition>.zarr, for each of evolution.conditions
"""


include: "helpers/evolution.smk"


rule evolve_neurons:
    input:
        unpack(lambda wildcards: evolution_inputs(wildcards.condition)),
        pool=f"{RESULTS}/pool.zarr",
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=TARGET_SESSIONS),
    output:
        directory(f"{RESULTS}/evolution/{{condition}}.zarr"),
    resources:
        gpu=1,
        mem_mb=mem_mb(4000),
        runtime=600,
    params:
        state=f"{RESULTS}/.training",
        seed=config["seed"],
        external_judges=external_judges(TARGET_SESSIONS),
        options=lambda wildcards: CONDITIONS[wildcards.condition],
    script:
        "../scripts/evolve_neurons.py"
