"""One module per figure: stores in, a tidy table and a matplotlib figure out. Nothing here runs a model.

Every module of :data:`FIGURES` has ``draw`` and ``table`` with the same arguments; ``style.write`` writes both.
"""

from v4egg.figures import (
    adversarial,
    circuits,
    closed_loop,
    compact,
    compute_time,
    diverse,
    dot_detector,
    encoder_scores,
    evolution,
    mei_gallery,
    meni,
    reconstruction,
    samples,
    sensitivity,
    transfer_scatter,
    tuning,
)

FIGURES = {
    "encoder_scores": encoder_scores,
    "mei_gallery": mei_gallery,
    "transfer_scatter": transfer_scatter,
    "compute_time": compute_time,
    "closed_loop": closed_loop,
    "samples": samples,
    "meni": meni,
    "reconstruction": reconstruction,
    "diverse": diverse,
    "evolution": evolution,
    "sensitivity": sensitivity,
    "compact": compact,
    "circuits": circuits,
    "tuning": tuning,
    "dot_detector": dot_detector,
    "adversarial": adversarial,
}
