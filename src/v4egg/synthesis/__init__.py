"""Synthesis: images with a low energy, by energy-guided diffusion (EGG) and by the methods it is compared with.

:func:`synthesize_mei` makes most exciting images of the units of a model by any method; :func:`synthesize_meni`,
:func:`synthesize_diverse` and :func:`reconstruct` make naturalistic, diverse and reconstructed ones, and
:func:`search_natural_images` finds natural ones. :func:`v4egg.synthesis.energy_guided.energy_guided` and
:func:`v4egg.synthesis.gradient_ascent.gradient_ascent` minimise any energy, and so does :class:`EnergyGuidedPipeline`.
Names are imported when they are used, so that importing the package does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
