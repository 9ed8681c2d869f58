"""Synthesizers: images for an energy. :func:`most_exciting_images` runs one by name for the units of an encoder."""

from v4egg.synthesis.mei import METHODS, most_exciting_images

__all__ = ["METHODS", "most_exciting_images"]
