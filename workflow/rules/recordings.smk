"""Makes a recording of each session: simulated, read from a file, or downloaded and read.

simulated/<session>.nwb and .brain.zarr, data/V4_compact_models/..., recordings/<session>.zarr. These run before all
else, so that a recording that cannot be read ends a run in its first minute.
"""


include: "helpers/recordings.smk"


with one_line_errors():
    MISSING = sources.missing_public_files(config["sessions"], COWLEY, named="V4EGG_DATA" in os.environ)
    STATEMENTS = sources.download_statements({s: config["sessions"][s] for s in MISSING}, COWLEY)


FIRST = 100  # priority of rules


rule simulate_recording:
    output:
        nwb=f"{RESULTS}/simulated/{{session}}.nwb",
        brain=directory(f"{RESULTS}/simulated/{{session}}.brain.zarr"),
    priority: FIRST
    params:
        seed=config["seed"],
        options=lambda wildcards: config["sessions"][wildcards.session]["simulation"],
    script:
        "../scripts/simulate_recording.py"


for session, files in MISSING.items():

    rule:
        name:
            f"download_{session}"
        output:
            files,
        priority: FIRST
        resources:
            runtime=60,
        params:
            folder=COWLEY,
            session=session,
        message:
            STATEMENTS[session].replace("{", "{{").replace("}", "}}")
        script:
            "../scripts/download_recording.py"


rule read_recording:
    input:
        lambda wildcards: source_inputs(wildcards.session),
    output:
        directory(f"{RESULTS}/recordings/{{session}}.zarr"),
    priority: FIRST
    params:
        source=lambda wildcards: config["sessions"][wildcards.session],
        path=lambda wildcards: source_path(wildcards.session),
        digests=lambda wildcards: source_digests(wildcards.session),
        looks={key: config["images"][key] for key in ("aspect", "background")},
    script:
        "../scripts/read_recording.py"
