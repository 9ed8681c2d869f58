"""The files of a configuration, read as Snakemake reads those after ``--configfile``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config
from snakemake_interface_common.exceptions import WorkflowError

from v4egg.errors import V4eggError

_CLONE = Path(__file__).parents[3]


def read_configuration(files: Sequence[str | Path]) -> dict[str, Any]:
    """The configuration that Snakemake would have.

    Args:
        files: YAML files, each laid over those before it; if none of them has a name, all over the demo.

    Raises:
        V4eggError: a file is missing or no valid YAML.
    """
    config: dict[str, Any] = {}
    for file in files:
        update_config(config, _mapping(Path(file)))
    if "name" in config:
        return config
    demo = _home() / "config/config.yaml"
    if not demo.is_file():
        raise V4eggError(f"{files[0]}: there is no name, and no demo to lay it over; give the configuration a name")
    whole = _mapping(demo)
    update_config(whole, config)
    return whole


def schema_file() -> Path:
    """The schema of the configuration.

    Raises:
        V4eggError: the package lies alone, without the workflow.
    """
    path = _home() / "workflow/schemas/config.schema.yaml"
    if not path.is_file():
        raise V4eggError(f"{path}: no such file; set V4EGG_HOME to a clone of the workflow's repository")
    return path


def _home() -> Path:
    """The clone of the workflow that the package belongs to."""
    return Path(os.environ.get("V4EGG_HOME") or _CLONE)


def _mapping(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise V4eggError(f"{file}: no such file; correct the path of the configuration")
    try:
        return dict(load_configfile(str(file)))
    except (WorkflowError, UnicodeDecodeError):
        raise V4eggError(f"{file}: {_mistake(file)}") from None


def _mistake(file: Path) -> str:
    """Where a file is no YAML, or no mapping."""
    try:
        yaml.safe_load(file.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        return f"{line}no valid YAML ({error.problem}); correct the line or its indentation"
    except (yaml.YAMLError, UnicodeDecodeError):
        return "no text of YAML; save it as UTF-8 text"
    return "no keys at its top level; begin with name: and sessions:"
