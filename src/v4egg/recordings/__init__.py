"""Recordings: images, spikes and spike counts of sessions, and how they are split.

Names are imported when they are used, so that importing the package does not import zarr.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
