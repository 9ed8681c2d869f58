"""Which stores of the workflow a method of synthesis is made from: known without importing torch."""

from collections.abc import Mapping
from typing import Any

GENERATORS = {"decoder": "decoder", "diffusion": "prior"}  # image generator -> the store that holds its weights


def required_store(method: str, options: Mapping[str, Any]) -> str | None:
    """``prior``, ``decoder`` or None, for a method of synthesis and its options."""
    if method == "energy_guided":
        return "prior"
    return GENERATORS.get(options["generator"]["name"]) if method == "evolution" else None
