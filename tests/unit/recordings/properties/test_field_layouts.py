"""Small files in the layouts of public data sets and of the programs that laboratories use: read right, or refused."""

import re

import pytest

from field_layouts import LAYOUTS
from nwb_outcomes import outcome_of

REFUSED = {  # what no key makes readable, and what the refusal says
    "matnwb_colours_first": r"/acquisition/image_collection/rgb_\w+: .*incorrect shape for data: got \(3, 16, 24\)",
}


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_files_in_layouts_of_the_field(write, tmp_path):
    found = outcome_of(write(tmp_path))
    if write.__name__ in REFUSED:
        assert found.kind == "refused"
        assert re.search(REFUSED[write.__name__], found.message), found.message
    else:
        assert found.kind == "right", f"{found.kind}: {found.message}"
