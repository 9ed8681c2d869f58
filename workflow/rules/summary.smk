"""Makes the summary of the run, the table of its units, and the configuration as it was used.

summary.json, units.csv, config.yaml
"""


include: "helpers/summary.smk"


rule summarise:
    input:
        **summarised_inputs(),
        scores=f"{RESULTS}/encoders/scores.zarr",
        transfer=f"{RESULTS}/transfer.zarr",
        meis=MEIS,
        compact=[f"{RESULTS}/compact/{s}.zarr" for s in COMPACT_SESSIONS if "compact" in STAGES],
        adversarial=[f"{RESULTS}/adversarial/{models}.zarr" for models in LISTS["adversarial"]],
    output:
        f"{RESULTS}/summary.json",
    params:
        benchmarks=f"{RESULTS}/benchmarks",
    script:
        "../scripts/summarise.py"


rule list_units:
    input:
        recordings=expand(f"{RESULTS}/recordings/{{session}}.zarr", session=SESSIONS),
        responses=expand(f"{RESULTS}/responses/{{session}}.zarr", session=SESSIONS),
        scores=f"{RESULTS}/encoders/scores.zarr",
        targets=f"{RESULTS}/targets.zarr",
    output:
        f"{RESULTS}/units.csv",
    params:
        selection=config["responses"]["selection"],
    script:
        "../scripts/list_units.py"


rule write_configuration:
    output:
        f"{RESULTS}/config.yaml",
    params:
        config=config,
    script:
        "../scripts/write_configuration.py"
