"""Makes the figures and their numbers: figures/<figure>.svg, .png and .csv, a rule for each figure.

figures/recording-<session>.svg, .png and .csv: each recording as it was understood
"""


include: "helpers/figures.smk"


for figure in FIGURES:  # a rule each, since a caption takes no wildcard

    rule:
        name:
            f"figure_{figure}"
        input:
            **figure_inputs(figure),
        output:
            svg=report(
                f"{RESULTS}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": figure.replace("_", " ")},
            ),
            png=f"{RESULTS}/figures/{figure}.png",
            csv=f"{RESULTS}/figures/{figure}.csv",
        params:
            options=config.get(figures.FIGURES[figure].options, {}),
        script:
            "../scripts/figure.py"


rule figure_recording:
    input:
        recording=f"{RESULTS}/recordings/{{session}}.zarr",
        responses=f"{RESULTS}/responses/{{session}}.zarr",
    output:
        svg=report(
            f"{RESULTS}/figures/recording-{{session}}.svg",
            caption="../report/recording.rst",
            category="Recordings",
            labels={"figure": "recording {session}"},
        ),
        png=f"{RESULTS}/figures/recording-{{session}}.png",
        csv=f"{RESULTS}/figures/recording-{{session}}.csv",
    params:
        window=config["responses"]["window"],
    script:
        "../scripts/figure_recording.py"
