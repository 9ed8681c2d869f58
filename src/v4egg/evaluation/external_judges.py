"""Judges that the workflow did not train, by name, without their code."""

from v4egg.registry import Entry, Registry

EXTERNAL_JUDGES: Registry = {
    "simulated_brain": Entry(
        "v4egg.evaluation.judges:SimulatedBrainJudge",
        label="simulated brain",
        marker="^",
        source="v4egg.recordings.sources:SimulatedBrainStore",
    ),
    "published_compact": Entry(
        "v4egg.evaluation.judges:PublishedCompactJudge",
        label="published compact models",
        marker="^",
        source="v4egg.recordings.readers.cowley:PublishedModels",
    ),
}
