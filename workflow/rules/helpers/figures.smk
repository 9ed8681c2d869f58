"""What figures are made from: the lists that v4egg.figures names in braces, and the stores of each figure."""

from v4egg import figures

VARIED = [name for name, condition in CONDITIONS.items() if "swept" in condition]
BASES = {CONDITIONS[name]["swept"]["condition"] for name in VARIED}  # the conditions from which settings depart
LISTS = {
    "method": METHODS,
    "source": SOURCES,
    **{stage: made_by(stage) for stage in ("meni", "natural", "diverse", "reconstruction")},
    "loop": [f"{loop_architecture()}-{session}" for session in LOOP_SESSIONS],
    "condition": [name for name in CONDITIONS if name not in VARIED],
    "compared_condition": [name for name in CONDITIONS if name in BASES or name in VARIED],
    "compact": COMPACT_SESSIONS,
    "compact_shared": COMPACT_SESSIONS if config["compact"]["shared"] else [],
    "circuits": analysed("circuits"),
    "circuits_source": config["circuits"]["models"],
    "adversarial": analysed("adversarial"),
}
FIGURES = [name for name, figure in figures.FIGURES.items() if figure.is_on(config, LISTS)]


def figure_inputs(name):
    """The stores that a figure is made from, by the argument that they are."""
    return figures.FIGURES[name].paths(RESULTS, LISTS)


def summarised_inputs():
    """The stores of the figures whose statistics the summary repeats, as <figure>__<argument>."""
    names = [name for name in FIGURES if figures.FIGURES[name].summarised]
    return {f"{name}__{argument}": paths for name in names for argument, paths in figure_inputs(name).items()}
