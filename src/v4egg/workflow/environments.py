"""The conda environment of all rules, from code and lock: ``python -m v4egg.workflow.environments`` writes it.

It holds what the scripts of the rules import, directly or not, each package with the version of the lock and with all
that it needs in turn. One environment serves all rules, since all of them import torch and most of the other packages:
an environment for each stage would be the same gigabytes again. Snakemake copies an environment file elsewhere before
conda reads it, so that the file cannot point to the lock and repeats its versions.
"""

import ast
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from v4egg.workflow.provenance import PACKAGE, reached_files

ENVIRONMENT = "envs/v4egg.yaml"
# optional packages, which users install if their configuration needs them
_BY_HAND = {"timm"}


def environment_file(scripts: Iterable[Path], lock: str) -> str:
    """Return the text of the environment file.

    Args:
        scripts: the scripts that run in the environment.
        lock: text of the lock file, with lines such as ``numpy==2.4.6``.
    """
    modules = {name for script in scripts for path in reached_files(script) for name in _third_party(path)}
    installed = packages_distributions()
    pins = {_plain(line.split("==")[0]): line for line in lock.splitlines() if "==" in line}
    packages = _with_needs({installed[name][0] for name in modules if name in installed and name not in _BY_HAND}, pins)
    lines = "\n".join(f"      - {pins[name]}" for name in sorted(packages))
    return (
        "# Packages of all rules for --sdm conda, from requirements.lock. Made by `make docs`.\n"
        "name: v4egg\nchannels:\n  - conda-forge\n"
        f"dependencies:\n  - python=3.11\n  - pip\n  - pip:\n{lines}\n"
    )


def _third_party(path: Path) -> set[str]:
    """Top-level modules that a file imports or names in a call, except those of Python and of this package."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call):  # imported or looked into by name
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            modules |= {a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return modules - set(sys.stdlib_module_names) - {PACKAGE}


def _with_needs(packages: Iterable[str], pins: Iterable[str]) -> set[str]:
    """Those of the packages that are in the lock file, and all their requirements."""
    pending, seen = [_plain(name) for name in packages], set[str]()
    while pending:
        name = pending.pop()
        if name in seen or name not in pins:
            continue
        seen.add(name)
        pending += [_plain(re.split(r"[^\w.-]", need)[0]) for need in _needs(name)]
    return seen


def _needs(name: str) -> list[str]:
    """The requirements of an installed package, without those of its extras."""
    try:
        return [need for need in requires(name) or [] if "extra ==" not in need]
    except PackageNotFoundError:
        return []


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def environment_of(root: Path) -> str:
    """The text of the environment file for the scripts and the lock of the repository at ``root``."""
    scripts = sorted((root / "workflow/scripts").glob("*.py"))
    return environment_file(scripts, (root / "envs/requirements.lock").read_text())


if __name__ == "__main__":
    repository = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    (repository / ENVIRONMENT).write_text(environment_of(repository))
