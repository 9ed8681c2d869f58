"""NWB files in every layout that laboratories write are read right or refused in one line, never a third thing.

``V4EGG_PROPERTIES=deep`` runs thousands of layouts instead of the few of every test run; with ``-s`` it prints how many
were read, and what was refused.
"""

import os
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings

from nwb_layouts import Layout, layouts
from nwb_outcomes import Outcome, outcome

DEEP = os.environ.get("V4EGG_PROPERTIES") == "deep"
EXAMPLES = 3000 if DEEP else 120


class Log:
    """What became of the layouts that ran."""

    def __init__(self) -> None:
        self.outcomes: dict[Layout, Outcome] = {}

    def read_right(self, name: str) -> set[object]:
        """The words of a dimension in layouts that were read right."""
        return {getattr(layout, name) for layout, found in self.outcomes.items() if found.kind == "right"}

    def report(self) -> str:
        """How many ran, and the refusals by their words."""
        kinds = Counter(found.kind for found in self.outcomes.values())
        refusals = Counter(
            re.sub(r"\d+", "#", re.sub(r"\S*session\.nwb", "FILE", found.message))
            for found in self.outcomes.values()
            if found.kind == "refused"
        )
        lines = [f"{len(self.outcomes)} layouts: {dict(kinds)}"]
        return "\n".join(lines + [f"{count:5d} {message}" for message, count in refusals.most_common()])


def test_every_layout_is_read_right_or_refused_in_one_line():
    log = Log()

    @settings(
        max_examples=EXAMPLES,
        derandomize=not DEEP,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow,),
    )
    @given(layouts())
    def holds(layout):
        with TemporaryDirectory() as folder:
            found = outcome(layout, Path(folder))
        log.outcomes[layout] = found
        assert found.kind in ("right", "refused"), f"{found.kind}: {found.message}"

    holds()
    print("\n" + log.report())
    words = {field.name: log.read_right(field.name) for field in fields(Layout)}
    assert words
