"""Whether two folders of results hold the same numbers: all stores, variable by variable, whatever their names are now.

    python benchmarks/compare_runs.py OLD NEW [--rename old=new ...] [--ignore name ...]

A rename stands for names of variables, dims and attributes, and for names among the values of text variables and
attributes, of every store of OLD; ``mei:seed=sample`` stands for stores of the kind ``mei`` alone. Wall times
(``seconds``) and attributes that name inputs, versions and configuration are not compared. Exit code 0: all equal; 1:
something differs or is missing.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

IGNORED = ("seconds", "digest", "config", "seed", "versions", "inputs", "kind_version", "complete")


@dataclass(frozen=True)
class Rename:
    """One renamed name; ``kind`` is empty where it holds for stores of every kind."""

    kind: str
    old: str
    new: str

    @classmethod
    def parse(cls, text: str) -> "Rename":
        """A rename from ``old=new`` or ``kind:old=new``."""
        names, equals, new = text.partition("=")
        kind, _, old = names.rpartition(":")
        if not (equals and old and new):
            raise argparse.ArgumentTypeError(f"'{text}' is not old=new or kind:old=new")
        return cls(kind, old, new)


def stores(folder: Path) -> dict[str, Path]:
    """The Zarr stores below a folder, by their paths in it."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.zarr"))}


def read(path: Path) -> xr.Dataset:
    """A store in memory, without a check of its kind or version."""
    with warnings.catch_warnings():  # of stores without consolidated metadata, and of Snakemake's files in them
        warnings.simplefilter("ignore")
        with xr.open_zarr(path, consolidated=None, mask_and_scale=False) as dataset:
            return dataset.load()


def renamed(dataset: xr.Dataset, renames: Sequence[Rename]) -> xr.Dataset:
    """The store with new names, of attributes and among the values of text variables too."""
    of_kind = [r for r in renames if r.kind and r.kind == dataset.attrs.get("kind")]
    names = {r.old: r.new for r in [*(r for r in renames if not r.kind), *of_kind]}  # the kind's own come last and win
    present = {str(name) for name in (*dataset.variables, *dataset.dims)}
    for old, new in names.items():
        if old in present and new in present:
            raise SystemExit(f"compare_runs: a store has both '{old}' and '{new}'; name the kind: kind:{old}={new}")
    result = dataset.rename({old: new for old, new in names.items() if old in present})
    for name, variable in result.variables.items():
        if variable.dtype.kind in "OUT":
            values = np.array([names.get(str(v), str(v)) for v in variable.values.ravel()], object)
            result = result.assign({name: (variable.dims, values.reshape(variable.shape))})
    attributes = {name: decoded(value) for name, value in dataset.attrs.items()}
    result.attrs = {name: value for name, value in attributes.items() if name in IGNORED}
    result.attrs |= with_names({name: value for name, value in attributes.items() if name not in IGNORED}, names)
    return result


def decoded(value: Any) -> Any:
    """An attribute's value; what is written as JSON, as what it stands for."""
    if not (isinstance(value, str) and value.startswith(("{", "["))):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def with_names(value: Any, names: Mapping[str, str]) -> Any:
    """The same value with new names, as keys and as texts, at any depth."""
    if isinstance(value, Mapping):
        return {names.get(key, key): with_names(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_names(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        name: leaf for key, inner in value.items() for name, leaf in flat(inner, f"{prefix}.{key}".lstrip(".")).items()
    }


def difference(old: xr.Variable, new: xr.Variable) -> str:
    """How two variables differ, in words; empty if they are equal (NaN equals NaN)."""
    if old.dims != new.dims or old.shape != new.shape:
        return f"{dict(old.sizes)} became {dict(new.sizes)}"
    if old.dtype.kind in "OUT" or new.dtype.kind in "OUT":
        changed = old.values.astype(object) != new.values.astype(object)
        return f"{changed.sum()} of {changed.size} texts differ" if changed.any() else ""
    if old.dtype != new.dtype:
        return f"{old.dtype} became {new.dtype}"
    if np.array_equal(old.values, new.values, equal_nan=old.dtype.kind == "f"):
        return ""
    a, b = old.values.astype(float), new.values.astype(float)
    changed = (a != b) & ~(np.isnan(a) & np.isnan(b))
    by, largest = (np.nanmax(values, initial=0) for values in (np.abs(a - b)[changed], np.abs(a)))
    return f"{changed.sum()} of {changed.size} values differ, by up to {by:.3g} (largest value {largest:.3g})"


def differences(old: xr.Dataset, new: xr.Dataset, ignored: Sequence[str]) -> list[str]:
    """A line for each variable or attribute that differs or is only in one of two stores."""
    lines = []
    attributes = ({k: decoded(v) for k, v in store.attrs.items() if k not in ignored} for store in (old, new))
    for what, one, other in (("variable", old.variables, new.variables), ("attribute", *map(flat, attributes))):
        for name in sorted({*map(str, one), *map(str, other)} - set(ignored)):
            if name not in other or name not in one:
                lines.append(f"{what} {name} is only in the {'old' if name in one else 'new'} store")
            elif what == "variable" and (words := difference(one[name], other[name])):
                lines.append(f"variable {name}: {words}")
            elif what == "attribute" and one[name] != other[name]:
                lines.append(f"attribute {name}: {str(one[name])[:60]} became {str(other[name])[:60]}")
    return lines


def compare(
    old: Path, new: Path, renames: Sequence[Rename] = (), ignored: Sequence[str] = IGNORED
) -> Mapping[str, list[str]]:
    """By store of either folder, lines on what differs; none for a store that is equal in both."""
    before, after = stores(old), stores(new)
    result = {}
    for name in sorted({*before, *after}):
        if name not in after or name not in before:
            result[name] = [f"missing in the {'new' if name in before else 'old'} folder"]
        else:
            result[name] = differences(renamed(read(before[name]), renames), read(after[name]), ignored)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what differs and how many stores are equal; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD", help="a folder of results, such as results/demo")
    parser.add_argument("new", type=Path, metavar="NEW", help="the same of another version")
    parser.add_argument("--rename", type=Rename.parse, nargs="+", default=[], metavar="OLD=NEW", help="names in OLD")
    parser.add_argument("--ignore", nargs="+", default=[], metavar="NAME", help="variables and attributes not compared")
    options = parser.parse_args(arguments)
    for folder in (options.old, options.new):
        if not stores(folder):
            parser.error(f"{folder}: no Zarr stores there")
    result = compare(options.old, options.new, options.rename, [*IGNORED, *options.ignore])
    for name, lines in result.items():
        for line in lines:
            print(f"{name}: {line}")
    missing = sum(lines[:1] == [line] for lines in result.values() for line in lines if line.startswith("missing in"))
    equal = sum(not lines for lines in result.values())
    print(f"{equal} stores equal, {len(result) - equal - missing} differ, {missing} missing")
    return int(equal < len(result))


if __name__ == "__main__":
    sys.exit(main())
