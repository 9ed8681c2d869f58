"""The reference pages are those of the code."""

from pathlib import Path

import yaml

from v4egg.workflow.reference import configuration_page, stores_page

ROOT = Path(__file__).parents[3]


def test_pages_are_up_to_date():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    assert (ROOT / "docs/stores.md").read_text() == stores_page(), "run make docs"
    assert (ROOT / "config/README.md").read_text() == configuration_page(schema), "run make docs"
