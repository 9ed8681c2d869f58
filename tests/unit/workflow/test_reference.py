"""The reference pages and the schema are those of the code."""

from pathlib import Path

from v4egg.workflow.configuration_reference import configuration_page
from v4egg.workflow.reference import stores_page
from v4egg.workflow.schema import schema_text

ROOT = Path(__file__).parents[3]


def test_pages_are_up_to_date():
    assert (ROOT / "docs/stores.md").read_text() == stores_page(), "run make docs"
    assert (ROOT / "config/README.md").read_text() == configuration_page(), "run make docs"


def test_the_schema_is_that_of_the_options():
    assert (ROOT / "workflow/schemas/config.schema.yaml").read_text() == schema_text(), "run make docs"
