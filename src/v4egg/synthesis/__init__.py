"""Synthesizers: images for an energy. :func:`most_exciting_images` runs one by name for the units of an encoder."""

from importlib import import_module
from typing import Any

__all__ = ["METHODS", "most_exciting_images"]
_PUBLIC = {"METHODS": "v4egg.synthesis.methods", "most_exciting_images": "v4egg.synthesis.mei"}


def __getattr__(name: str) -> Any:
    """Import on first use: the names of the methods are known without torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'v4egg.synthesis' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
