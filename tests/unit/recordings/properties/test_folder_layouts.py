"""Plain folders in every layout that users write are read right."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings

from folder_layouts import folder_layouts, write_folder
from nwb_outcomes import outcome_of


@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=tuple(HealthCheck),
)
@given(folder_layouts())
def test_every_folder_is_read_right(layout):
    with TemporaryDirectory() as folder:
        found = outcome_of(write_folder(layout, Path(folder)))
    assert found.kind == "right", f"{found.kind}: {found.message}"
