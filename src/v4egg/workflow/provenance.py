"""Digests of code: Snakemake does not notice changed imports, so every rule carries the digest of the code it runs.

The digest covers a script and all v4egg modules that it reaches by import, or by name in a string as registries do.
Comments, docstrings and blank lines are left out: changed code reruns the jobs that it concerns and no others.
"""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "v4egg"
REGISTRY = f"{PACKAGE}.registry"
LOADERS = {"load", "options_of"}  # functions of the registry that import what an entry names
_ROOT = Path(__file__).parents[1]


def code_digest(script: str | Path) -> str:
    """Digest of a script and of every v4egg module that it reaches.

    Returns:
        16 hexadecimal digits, the same under every minor version of Python.
    """
    modules = _reached(Path(script))
    text = _code_of(Path(script)) + "".join(f"{name}\n{_code_of(modules[name])}" for name in sorted(modules))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reached_files(script: str | Path) -> list[Path]:
    """A script and the files of every v4egg module that it imports or names in a string, directly or not."""
    return [Path(script), *_reached(Path(script)).values()]


def configuration_digest(options: Mapping[str, Any]) -> str:
    """Digest of a part of the configuration, whatever the order of its keys: for names of folders."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]


def code_without_remarks(source: str) -> str:
    """Source code without comments, docstrings, blank lines and white space at the ends of lines.

    They are cut out of the text by position, since what :mod:`ast` prints differs between versions of Python. What
    strings hold is left alone.

    Example:
        >>> code_without_remarks('def f():  # one\\n    "Returns 1."\\n\\n    return 1\\n')
        'def f():\\n    return 1'
    """
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    cuts = [(token.start, token.end) for token in tokens if token.type == tokenize.COMMENT]
    cuts += [_in_characters(node, lines) for node in _docstrings(_nodes(source))]
    for (first, start), (last, end) in sorted(cuts, reverse=True):
        before, after = lines[first - 1][:start], lines[last - 1][end:]
        lines[first - 1 : last] = [before + after] if first == last else [before, *[""] * (last - first - 1), after]
    in_docstring = {line for (first, _), (last, _) in cuts for line in range(first, last)}
    line_ends = _line_ends_inside_strings(tokens) - in_docstring
    return "\n".join(
        line.removesuffix("\n") if number in line_ends else line.rstrip()
        for number, line in enumerate(lines, 1)
        if number in line_ends or line.strip()
    )


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """The docstrings among the nodes of a module: its own and those of its classes and functions."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value


def _in_characters(node: ast.expr, lines: list[str]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a node begins and ends: lines from 1, and characters of them where :mod:`ast` counts bytes."""
    first, last = node.lineno, node.end_lineno or node.lineno
    start = len(lines[first - 1].encode()[: node.col_offset].decode())
    end = len(lines[last - 1].encode()[: node.end_col_offset].decode())
    return (first, start), (last, end)


def _line_ends_inside_strings(tokens: list[tokenize.TokenInfo]) -> set[int]:
    """The lines whose end lies inside a string; f-strings are one token up to Python 3.11 and several from 3.12 on."""
    inside: set[int] = set()
    open_at: list[int] = []
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind == "STRING":
            inside |= set(range(token.start[0], token.end[0]))
        elif kind.endswith("STRING_START"):
            open_at.append(token.start[0])
        elif kind.endswith("STRING_END"):
            inside |= set(range(open_at.pop(), token.end[0]))
    return inside


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
    registry_files = {path for path in files if _registered(path) and _loads(path)}
    return {name for path in {*map(_file_of, registries), *registry_files} for name in _registered(path)}


@cache
def _nodes(source: str) -> tuple[ast.AST, ...]:
    """All nodes of source code; each planning of a run looks at those of every module, so they are walked once."""
    return tuple(ast.walk(ast.parse(source)))


@cache
def _code_of(path: Path) -> str:
    return code_without_remarks(path.read_text())


@cache
def _imports(path: Path) -> frozenset[str]:
    """The v4egg modules that a file imports anywhere, functions included, or names in a string outside a registry."""
    modules = set()
    skipped = _type_checking(path) | _entries(path)
    for node in _nodes(path.read_text()):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            modules |= {_module_of(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _names_a_module(node.value):
            modules.add(node.value.partition(":")[0])
    return frozenset(modules)


@cache
def _registered(path: Path) -> frozenset[str]:
    """The v4egg modules that the entries of a registry name."""
    strings = (n.value for n in _entries(path) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return frozenset(text.partition(":")[0] for text in strings if _names_a_module(text))


@cache
def _loads(path: Path) -> bool:
    """Whether a file loads what entries name."""
    imported = (n for n in _nodes(path.read_text()) if isinstance(n, ast.ImportFrom) and n.module == REGISTRY)
    return any(alias.name in LOADERS for node in imported for alias in node.names)


def _entries(path: Path) -> frozenset[ast.AST]:
    """All nodes inside calls of ``Entry``."""
    calls = (n for n in _nodes(path.read_text()) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Entry")
    return frozenset(node for call in calls for node in ast.walk(call))


def _type_checking(path: Path) -> frozenset[ast.AST]:
    """All nodes that only a type checker sees."""
    conditions = (n for n in _nodes(path.read_text()) if isinstance(n, ast.If))
    tests = (n for n in conditions if getattr(n.test, "id", "") == "TYPE_CHECKING")
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
