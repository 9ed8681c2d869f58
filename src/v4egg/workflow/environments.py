"""The conda environments of the rules, from code and lock: ``python -m v4egg.workflow.environments`` writes envs/.

A rules file names its family; what the family's scripts import, directly or not, is in its environment, each package
with the version of the lock and with all that it needs in turn. Snakemake copies an environment file elsewhere before
conda reads it, so a file cannot point to the lock and holds its own pins.
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
# imported only where a configuration asks for it, and installed by who does so
_BY_HAND = {"timm"}


def families(root: Path) -> dict[str, list[Path]]:
    """Family -> the scripts of its rules, from the rules files under the repository's root."""
    found: dict[str, list[Path]] = {}
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        text = path.read_text()
        scripts = [root / f"workflow/scripts/{name}.py" for name in sorted(set(SCRIPT.findall(text)))]
        for family in FAMILY.findall(text) if scripts else ():
            found.setdefault(family, []).extend(scripts)
    return found


def environment_file(family: str, scripts: Iterable[Path], lock: str) -> str:
    """The text of envs/<family>.yaml."""
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
    """Top-level modules that a file imports anywhere or names in a call, other than Python's own and this package's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call):  # imported or looked into by name
            found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found - set(sys.stdlib_module_names) - {PACKAGE}


def _with_needs(packages: Iterable[str], pins: Iterable[str]) -> set[str]:
    """The packages of the lock among these and all that they need in turn."""
    pending, seen = [_plain(name) for name in packages], set()
    while pending:
        name = pending.pop()
        if name in seen or name not in pins:
            continue
        seen.add(name)
        pending += [_plain(re.split(r"[^\w.-]", need)[0]) for need in _needs(name)]
    return seen


def _needs(name: str) -> list[str]:
    """What an installed package needs without extras."""
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
