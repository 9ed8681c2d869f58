"""The conda environment holds what the scripts import, with the lock's versions."""

from pathlib import Path

from v4egg.workflow.environments import ENVIRONMENT, environment_file, environment_of

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "envs/requirements.lock").read_text()


def test_the_environment_is_up_to_date():
    assert (ROOT / ENVIRONMENT).read_text() == environment_of(ROOT), "run make docs"


def test_rules_have_the_environment_and_there_is_no_other():
    assert f'"../../{ENVIRONMENT}"' in (ROOT / "workflow/rules/every_rule.smk").read_text()
    assert [path.name for path in (ROOT / "envs").glob("*.yaml")] == [Path(ENVIRONMENT).name]


def test_an_environment_holds_what_is_imported_and_what_that_needs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from v4egg import errors\nimport json, pandas\nfind_spec('skimage')\n")
    text = environment_file([script], LOCK)
    for package in ("pandas", "python-dateutil", "scikit-image", "numpy"):  # the second is needed by the first
        assert f"      - {package}==" in text
    for package in ("torch", "pytest", "matplotlib"):
        assert f"      - {package}==" not in text
