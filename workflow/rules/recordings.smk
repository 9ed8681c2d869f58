"""Recordings: simulated, read from a file, or downloaded and read, into one store a session."""

from v4egg.recordings.sources import missing_public_files, source_files, source_path

ENVIRONMENT = environment("recordings")

with one_line_errors():
    MISSING = missing_public_files(config["sessions"], COWLEY, named="V4EGG_DATA" in os.environ)


rule simulate_recording:
    output:
        nwb=f"{RESULTS}/simulated/{{session}}.nwb",
        brain=directory(f"{RESULTS}/simulated/{{session}}.brain.zarr"),
    log:
        f"{RESULTS}/logs/simulate_recording/{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/recordings/simulate_recording-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(2000),
        runtime=30,
    params:
        code=code("simulate_recording"),
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
        log:
            f"{RESULTS}/logs/download_recording/{session}.log",
        benchmark:
            f"{RESULTS}/benchmarks/recordings/download_recording-{session}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=mem_mb(1000),
            runtime=60,
        params:
            code=code("download_recording"),
            folder=COWLEY,
            session=session,
        script:
            "../scripts/download_recording.py"


rule read_recording:
    input:
        lambda wildcards: source_files(wildcards.session, config["sessions"][wildcards.session], COWLEY, RESULTS),
    output:
        directory(f"{RESULTS}/recordings/{{session}}.zarr"),
    log:
        f"{RESULTS}/logs/read_recording/{{session}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/recordings/read_recording-{{session}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=mem_mb(2000),
        runtime=30,
    params:
        code=code("read_recording"),
        source=lambda wildcards: config["sessions"][wildcards.session],
        path=lambda wildcards: source_path(wildcards.session, config["sessions"][wildcards.session], COWLEY, RESULTS),
    script:
        "../scripts/read_recording.py"
