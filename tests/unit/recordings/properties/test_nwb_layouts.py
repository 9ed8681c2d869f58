"""NWB files in every layout that laboratories write are read right or refused in one line, never a third thing.

``V4EGG_PROPERTIES=deep`` runs thousands of layouts (``V4EGG_EXAMPLES``), drawn anew each time, instead of the same few;
with ``-s`` it prints how many were read, how many words of which dimension, and what was refused.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings

from nwb_layouts import Layout, layouts, may_be_refused
from nwb_outcomes import Outcome, outcome

DEEP = os.environ.get("V4EGG_PROPERTIES") == "deep"
EXAMPLES = int(os.environ.get("V4EGG_EXAMPLES", 3000)) if DEEP else 110


@dataclass
class Log:
    """What became of the layouts that ran."""

    outcomes: dict[Layout, Outcome] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """How many layouts came to that."""
        return sum(found.kind == kind for found in self.outcomes.values())

    def report(self) -> str:
        """How many ran and were read, by dimension how many different words of all, and the refusals."""
        read = [layout for layout, found in self.outcomes.items() if found.kind == "right"]
        words = [f"{one.name} {len({getattr(layout, one.name) for layout in read})}" for one in fields(Layout)]
        refusals = Counter(_anonymous(found.message) for found in self.outcomes.values() if found.kind == "refused")
        return "\n".join(
            [
                f"{len(self.outcomes)} layouts: {len(read)} read right, {self.count('refused')} refused in one line",
                f"different words read right: {', '.join(words)}",
                *(f"{count:5d} refused: {message}" for message, count in refusals.most_common()),
            ]
        )


def _anonymous(message: str) -> str:
    """A message without the names and numbers of one file."""
    return re.sub(r"\d+(\.\d+)?", "#", re.sub(r"\S*session\.nwb:? ", "", message))


def test_every_layout_is_read_right_or_refused_in_one_line():
    log = Log()

    @settings(
        max_examples=EXAMPLES,
        derandomize=not DEEP,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=tuple(HealthCheck),
    )
    @given(layouts())
    def holds(layout):
        if layout not in log.outcomes:  # the same layout may be drawn again
            with TemporaryDirectory() as folder:
                log.outcomes[layout] = outcome(layout, Path(folder))
        found = log.outcomes[layout]
        allowed = ("right", "refused") if may_be_refused(layout) else ("right",)
        assert found.kind in allowed, f"{found.kind}: {found.message}"

    holds()
    print(f"\n{log.report()}")
    assert log.count("right") > len(log.outcomes) // 2
