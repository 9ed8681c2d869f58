"""The conda environments of the rules, made from imports and lock file: ``python -m v4egg.workflow.environments``.

A rules file names its family. The family's environment contains the packages that its scripts import, directly or not,
and their requirements, all with the versions of the lock file. Snakemake copies an environment file before conda reads
it, so that a file cannot refer to the lock file and has to contain the versions itself.
"""

import ast
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from v4egg.workflow.provenance import PACKAGE, reached_files

FAMILY = re.compile(r'environment\("(\w+)"\)')
SCRIPT = re.compile(r'"\.\./scripts/(\w+)\.py"')
# optional packages, which users install if their configuration needs them
_BY_HAND = {"timm"}


def families(root: Path) -> dict[str, list[Path]]:
    """Return the scripts of each family's rules, from the rules files under the repository's root."""
    scripts_of: dict[str, list[Path]] = {}
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        text = path.read_text()
        scripts = [root / f"workflow/scripts/{name}.py" for name in sorted(set(SCRIPT.findall(text)))]
        for family in FAMILY.findall(text) if scripts else ():
            scripts_of.setdefault(family, []).extend(scripts)
    return scripts_of


def environment_file(family: str, scripts: Iterable[Path], lock: str) -> str:
    """Return the text of ``envs/<family>.yaml``.

    Args:
        family: its name.
        scripts: of the family's rules.
        lock: text of the lock file, with lines such as ``numpy==2.4.6``.
    """
    wanted = {name for script in scripts for path in reached_files(script) for name in _third_party(path)}
    installed = packages_distributions()
    pins = {_plain(line.split("==")[0]): line for line in lock.splitlines() if "==" in line}
    packages = _with_needs({installed[name][0] for name in wanted if name in installed and name not in _BY_HAND}, pins)
    lines = "\n".join(f"      - {pins[name]}" for name in sorted(packages))
    return (
        f"# Packages of the {family} rules for --sdm conda, from requirements.lock. Made by `make docs`.\n"
        f"name: v4egg-{family}\nchannels:\n  - conda-forge\n"
        f"dependencies:\n  - python=3.11\n  - pip\n  - pip:\n{lines}\n"
    )


def _third_party(path: Path) -> set[str]:
    """Top-level modules that a file imports or names in a call, except those of Python and of this package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call):  # imported or looked into by name
            found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found - set(sys.stdlib_module_names) - {PACKAGE}


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


def main(root: Path) -> None:
    """Write the environment of every family."""
    lock = (root / "envs/requirements.lock").read_text()
    for family, scripts in families(root).items():
        (root / f"envs/{family}.yaml").write_text(environment_file(family, scripts, lock))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
