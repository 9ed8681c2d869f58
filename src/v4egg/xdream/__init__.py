"""XDream: exciting images without gradients, by an image generator and an evolutionary search (Xiao & Kreiman 2020).

:func:`evolve` runs an :class:`Evolution` of an optimizer (:func:`make_optimizer`) over the codes of an image generator
(:func:`make_image_generator`) for neurons that are a black box: units of any model, or those of an animal
(:class:`Exchange`). Names are imported when they are used, so that importing the package does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
