"""Makes the figures and their numbers: figures/<figure>.svg, .png and .csv, a rule for each figure."""


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
