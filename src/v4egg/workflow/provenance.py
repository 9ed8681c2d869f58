"""Digests of code: Snakemake does not notice changed imports, so every rule carries the digest of what it uses.

The digest covers a script and all v4egg modules that it reaches by import, with comments and docstrings left out:
changed code reruns what it touches and nothing else.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "v4egg"
REGISTRY = f"{PACKAGE}.registry"
LOADERS = {"load", "options_of"}  # functions of the registry that import what an entry names
_ROOT = Path(__file__).parents[1]


def code_digest(script: str | Path) -> str:
    """Digest of a script and of every v4egg module it imports, directly or not."""
    modules = _reached(Path(script))
    text = _normalised(Path(script)) + "".join(f"{name}\n{_normalised(modules[name])}" for name in sorted(modules))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reached_files(script: str | Path) -> list[Path]:
    """A script and the files of every v4egg module it imports, directly or not."""
    return [Path(script), *_reached(Path(script)).values()]


def _reached(script: Path) -> dict[str, Path]:
    """Module -> file of what a script reaches."""
    seen: dict[str, Path] = {}
    pending = list(_imports(script))
    loading = {script}
    while pending:
        module = pending.pop()
        if module not in seen:
            seen[module] = _file_of(module)
            loading.add(seen[module])
            pending += _imports(seen[module])
        if not pending:
            pending = sorted(_chosen_from_registries(loading) - seen.keys())
    return seen


def _chosen_from_registries(files: Iterable[Path]) -> set[str]:
    """The modules that registries name and that some of the files may import, since they load what an entry names.

    A file that only reads labels or colours of a registry does not reach what the registry names.
    """
    registries = {module for path in files if REGISTRY in _imports(path) and _loads(path) for module in _imports(path)}
    own = {path for path in files if _registered(path) and _loads(path)}
    return {name for path in {*map(_file_of, registries), *own} for name in _registered(path)}


def configuration_digest(options: Mapping[str, Any]) -> str:
    """Digest of a part of the configuration, whatever the order of its keys: for names of folders."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _normalised(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:]
    return ast.dump(tree)


@cache
def _imports(path: Path) -> frozenset[str]:
    """The v4egg modules that a file imports anywhere, functions included, or names in a string outside a registry."""
    found = set()
    skipped = _type_checking(path) | _entries(path)
    for node in ast.walk(_tree(path)):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            found |= {_module_of(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _names_a_module(node.value):
            found.add(node.value.partition(":")[0])
    return frozenset(found)


@cache
def _registered(path: Path) -> frozenset[str]:
    """The v4egg modules that the entries of a registry name."""
    strings = (n.value for n in _entries(path) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return frozenset(text.partition(":")[0] for text in strings if _names_a_module(text))


@cache
def _loads(path: Path) -> bool:
    """Whether a file loads what entries name."""
    imported = (n for n in ast.walk(_tree(path)) if isinstance(n, ast.ImportFrom) and n.module == REGISTRY)
    return any(alias.name in LOADERS for node in imported for alias in node.names)


def _entries(path: Path) -> frozenset[ast.AST]:
    """All nodes inside calls of ``Entry``."""
    calls = (n for n in ast.walk(_tree(path)) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Entry")
    return frozenset(node for call in calls for node in ast.walk(call))


def _type_checking(path: Path) -> frozenset[ast.AST]:
    """All nodes that only a type checker sees."""
    tests = (n for n in ast.walk(_tree(path)) if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING")
    return frozenset(node for test in tests for statement in test.body for node in ast.walk(statement))


def _module_of(module: str, name: str) -> str:
    """``from v4egg.images import pool`` names a module; ``from v4egg.io.stores import load`` names a thing in one."""
    candidate = f"{module}.{name}"
    return candidate if _exists(candidate) else module


def _names_a_module(text: str) -> bool:
    """Whether a string is ``v4egg.package.module``, or such with ``:name`` behind it."""
    module = text.partition(":")[0]
    return module.startswith(f"{PACKAGE}.") and module.replace(".", "").isidentifier() and _exists(module)


def _path(module: str) -> Path:
    return _ROOT.joinpath(*module.split(".")[1:])


def _exists(module: str) -> bool:
    path = _path(module)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _file_of(module: str) -> Path:
    path = _path(module)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
