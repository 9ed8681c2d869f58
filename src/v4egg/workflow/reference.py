"""The reference pages that are made from code: store kinds and configuration keys. ``make docs`` writes them."""

import sys
from pathlib import Path

from v4egg.io.schemas import KINDS, VERSIONS
from v4egg.workflow.configuration_reference import configuration_page
from v4egg.workflow.schema import schema_text

_STORES_HEAD = """# Stores

Every intermediate is a Zarr v3 store that xarray opens: `xarray.open_zarr("results/demo/transfer.zarr")`. A store is
written beside its path, marked `complete` and renamed; `v4egg.io.stores.load` refuses one without the mark. Attributes
carry the kind and its version (a store of another version is refused), a digest of the data, the configuration, the
seed, package versions and the digests of the inputs.
Unit ids read `s190923-u007`. Variables in italics are present where the source allows them.
"""


def stores_page() -> str:
    """docs/stores.md."""
    parts = [_STORES_HEAD]
    for kind, variables in KINDS.items():
        rows = ["| variable | dims | type | unit | meaning |", "|---|---|---|---|---|"]
        for name, entry in variables.items():
            cell = f"*{name}*" if entry.optional else name
            unit = entry.unit.replace("|", "/")
            rows.append(f"| {cell} | {', '.join(entry.dims)} | {entry.dtype} | {unit} | {entry.meaning} |")
        parts.append(f"## {kind}\n\nVersion {VERSIONS[kind]}.\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def main(root: Path) -> None:
    """Write both pages, and the schema of the configuration, under the repository's root."""
    (root / "workflow/schemas/config.schema.yaml").write_text(schema_text())
    (root / "docs/stores.md").write_text(stores_page())
    (root / "config/README.md").write_text(configuration_page())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
