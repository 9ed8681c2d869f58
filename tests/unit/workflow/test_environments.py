"""The conda environments hold what the scripts import, with the lock's versions."""

import re
from pathlib import Path

import pytest

from v4egg.workflow.environments import environment_file, families

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "envs/requirements.lock").read_text()
FAMILIES = families(ROOT)


@pytest.mark.parametrize("family", FAMILIES)
def test_environments_are_up_to_date(family):
    assert (ROOT / f"envs/{family}.yaml").read_text() == environment_file(family, FAMILIES[family], LOCK), (
        "run make docs"
    )


def test_every_rule_has_an_environment_that_exists():
    rules = [path for path in (ROOT / "workflow/rules").glob("*.smk") if "script:" in path.read_text()]
    for path in rules:
        assert re.search(r'^ENVIRONMENT = environment\("\w+"\)$', path.read_text(), re.MULTILINE), path.name
    assert {path.stem for path in (ROOT / "envs").glob("*.yaml")} == set(FAMILIES)


def test_an_environment_holds_what_is_imported_and_what_that_needs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from v4egg import errors\nimport json, pandas\nfind_spec('skimage')\n")
    text = environment_file("x", [script], LOCK)
    for package in ("pandas", "python-dateutil", "scikit-image", "numpy"):  # the second is needed by the first
        assert f"      - {package}==" in text
    for package in ("torch", "pytest", "matplotlib"):
        assert f"      - {package}==" not in text
