"""Adding a thing is one file and one line in one registry: schema, reference, plan, errors and figures follow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HEAD = "from pydantic import Field\n\n"
TOYS = {  # file -> its text
    "synthesis/toy_method.py": '''from v4egg.synthesis.method import MethodOptions


class Toy(MethodOptions):
    """A toy method."""

    boldness: float = Field(0.5, ge=0, description="How bold it is.")

    def synthesize(self, task):
        raise NotImplementedError
''',
    "recordings/readers/toy_reader.py": '''from v4egg.recordings.readers.reader import ReaderOptions


class Toy(ReaderOptions):
    """A toy reader."""

    file: str = Field(description="The toy file.")
    rows: int = Field(3, ge=1, description="Rows to read.")

    def read(self, session, path):
        raise NotImplementedError
''',
    "evaluation/toy_judge.py": '''from v4egg.evaluation.judges import ExternalJudge


class Toy(ExternalJudge):
    """A toy judge."""

    file: str = Field(description="Its weights.")
    strictness: float = Field(1.0, ge=0, description="How strict it is.")

    def load(self, path, session):
        raise NotImplementedError
''',
    "xdream/optimizers/toy_optimizer.py": '''from v4egg.xdream.optimizers.optimizer import OptimizerOptions


class Toy(OptimizerOptions):
    """A toy optimizer."""

    patience: int = Field(4, ge=1, description="How patient it is.")
''',
    "xdream/generators/toy_generator.py": '''from v4egg.xdream.generators.generator import GeneratorOptions


class Toy(GeneratorOptions):
    """A toy image generator."""

    colours: int = Field(8, ge=2, description="Colours that it has.")

    def build(self, stimulus_spec, device, stores):
        raise NotImplementedError
''',
    "figures/toy_figure.py": """def table(scores):
    return scores


def draw(table):
    return table
""",
}
LINES = {  # file of the registry -> how its dict begins, and the line
    "synthesis/methods.py": (
        "METHODS: Registry = {\n",
        '    "toy_method": Entry("v4egg.synthesis.toy_method:Toy", label="a toy", colour="#123456"),\n',
    ),
    "recordings/readers/__init__.py": (
        "READERS: Registry = {\n",
        '    "toy_reader": Entry("v4egg.recordings.readers.toy_reader:Toy"),\n',
    ),
    "evaluation/external_judges.py": (
        "EXTERNAL_JUDGES: Registry = {\n",
        '    "toy_judge": Entry("v4egg.evaluation.toy_judge:Toy", label="the toy judge"),\n',
    ),
    "xdream/optimizers/__init__.py": (
        "OPTIMIZERS: Registry = {\n",
        '    "toy_optimizer": Entry("v4egg.xdream.optimizers.toy_optimizer:Toy"),\n',
    ),
    "xdream/generators/__init__.py": (
        "IMAGE_GENERATORS: Registry = {\n",
        '    "toy_generator": Entry("v4egg.xdream.generators.toy_generator:Toy", required_stores=("decoder",)),\n',
    ),
    "figures/__init__.py": (
        "FIGURES: dict[str, Figure] = {\n",
        '    "toy_figure": Figure("v4egg.figures.toy_figure", {"scores": "encoders/scores.zarr"}),\n',
    ),
}
CONFIG = {
    "name": "toys",
    "sessions": {
        "s1": {
            "format": "toy_reader",
            "split": "halves",
            "file": "toy.dat",
            "rows": 5,
            "judge": {"name": "toy_judge", "file": "judge.dat", "strictness": 2.0},
        }
    },
    "prior": {"photographs": 10},
    "synthesis": {"methods": {"toy_method": {"boldness": 0.7}}},
    "evolution": {
        "conditions": {
            "toys": {
                "optimizer": "toy_optimizer",
                "settings": {"patience": 7},
                "image_generator": {"name": "toy_generator", "colours": 4},
            }
        }
    },
}
PLAN = """
import sys
from snakemake.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("torch was imported" if "torch" in sys.modules else "no torch")
    raise
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A copy of the repository with a toy of each kind, and its generated files made anew."""
    root = tmp_path_factory.mktemp("adding")
    for name in ("src", "workflow", "profiles", "config", "docs", "envs", "Snakefile"):
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, root / name, ignore=ignored) if source.is_dir() else shutil.copy(source, root / name)
    for name, text in TOYS.items():
        (root / "src/v4egg" / name).write_text(text if "figure" in name else HEAD + text)
    for name, (start, line) in LINES.items():
        path = root / "src/v4egg" / name
        before = path.read_text()
        assert before.count(start) == 1, f"{name} has no {start!r}"
        path.write_text(before.replace(start, start + line))
    made = python(root, "-m", "v4egg.workflow.reference", str(root))
    assert made.returncode == 0, made.stderr[-2000:]
    return root


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name != "V4EGG_DATA"}
    environment = {**clean, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment, check=False)


def planned(root: Path, folder: Path, config: dict) -> subprocess.CompletedProcess:
    """A dry run of a configuration, in the process that says at its end whether it imported torch."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("toy.dat", "judge.dat"):
        (folder / name).write_text("")
    where = ["--snakefile", str(root / "Snakefile"), "--directory", str(folder), "--configfile", "config.yaml"]
    where[-1] = str(folder / "config.yaml")
    return python(root, "-c", PLAN, "--cores", "1", "--dry-run", *where)


def test_the_schema_and_the_reference_hold_what_is_added(repository):
    schema = (repository / "workflow/schemas/config.schema.yaml").read_text()
    page = (repository / "config/README.md").read_text()
    for text in (schema, page):
        for name in ("toy_method", "toy_reader", "toy_judge", "toy_optimizer", "toy_generator"):
            assert name in text
        for option in ("boldness", "rows", "strictness", "patience", "colours"):
            assert option in text
    assert "| `boldness` | number | `0.5` | from 0 | How bold it is. |" in page


def test_the_plan_holds_what_is_added_and_imports_no_torch(repository, tmp_path):
    run = planned(repository, tmp_path, CONFIG)
    said = run.stdout + run.stderr
    assert run.returncode == 0, said[-3000:]
    assert "no torch" in run.stdout
    for wanted in (
        "toy.dat",
        "judge.dat",
        "mei/toy_method/",
        "evolution/toys.zarr",
        "decoder.zarr",
        "figure_toy_figure",
    ):
        assert wanted in said


def test_misspelt_options_of_what_is_added_are_refused_together(repository, tmp_path):
    config = yaml.safe_load(
        yaml.safe_dump(CONFIG)
        .replace("boldness", "boldnes")
        .replace("rows", "row")
        .replace("strictness", "strictnes")
        .replace("patience", "patienc")
        .replace("colours", "colour")
    )
    run = planned(repository, tmp_path, config)
    assert run.returncode != 0
    for key, meant in {
        "synthesis.methods.toy_method.boldnes": "boldness",
        "sessions.s1.row": "rows",
        "sessions.s1.judge.strictnes": "strictness",
        "evolution.conditions.toys.settings.patienc": "patience",
        "evolution.conditions.toys.image_generator.colour": "colours",
    }.items():
        assert f"configuration key '{key}' is unknown; did you mean '{meant}'?" in run.stdout + run.stderr


def test_figures_name_and_colour_what_is_added(repository):
    asked = "from v4egg.figures.style import colours, label; "
    asked += "print(label('toy_method'), colours(['toy_method'])['toy_method'], label('toy_judge'), sep='|')"
    run = python(repository, "-c", asked)
    assert run.stdout.strip() == "a toy|#123456|the toy judge", run.stderr
