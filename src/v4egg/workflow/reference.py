"""The reference pages that are made from code: store kinds and configuration keys. ``make docs`` writes them."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from v4egg.io.schemas import KINDS, VERSIONS

_STORES_HEAD = """# Stores

Every intermediate is a Zarr v3 store that xarray opens: `xarray.open_zarr("results/demo/transfer.zarr")`. A store is
written beside its path, marked `complete` and renamed; `v4egg.io.stores.load` refuses one without the mark. Attributes
carry the kind and its version (a store of another version is refused), a digest of the data, the configuration, the
seed, package versions and the digests of the inputs.
Unit ids read `s190923-u007`. Variables in italics are present where the source allows them.
"""

_CONFIG_HEAD = """# Configuration

`config.yaml` is the demo. A file that has a `name` replaces it (`--configfile config/cowley2023.yaml`); a file without
a `name`, or a second file, is laid over what came before and merges key by key. Unknown keys are refused.

| key | default | meaning |
|---|---|---|
"""


def stores_page() -> str:
    """docs/stores.md."""
    parts = [_STORES_HEAD]
    for kind, variables in KINDS.items():
        rows = ["| variable | dims | type | unit | meaning |", "|---|---|---|---|---|"]
        for name, entry in variables.items():
            shown = f"*{name}*" if entry.optional else name
            unit = entry.unit.replace("|", "/")
            rows.append(f"| {shown} | {', '.join(entry.dims)} | {entry.dtype} | {unit} | {entry.meaning} |")
        parts.append(f"## {kind}\n\nVersion {VERSIONS[kind]}.\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def configuration_page(schema: Mapping[str, Any]) -> str:
    """config/README.md."""
    rows = [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in _keys(schema, schema, "")]
    return _CONFIG_HEAD + "\n".join(rows) + "\n"


def _keys(schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of every leaf, depth first."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    for key, sub in schema.get("properties", {}).items():
        yield from _key(sub, root, f"{prefix}{key}")


def _key(schema: Mapping[str, Any], root: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    nested = schema.get("additionalProperties")
    if isinstance(nested, Mapping):
        yield name, _default(schema), schema["description"]
        yield from _keys(nested, root, f"{name}.<name>.")
    elif "properties" in schema or "$ref" in schema:
        yield from _keys(schema, root, f"{name}.")
    else:
        yield name, _default(schema), schema["description"]


def _default(schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return ""
    text = yaml.safe_dump(schema["default"], default_flow_style=True, width=1000)
    return "`" + text.removesuffix("...\n").strip() + "`"


def main(root: Path) -> None:
    """Write both pages under the repository's root."""
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    (root / "docs/stores.md").write_text(stores_page())
    (root / "config/README.md").write_text(configuration_page(schema))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
