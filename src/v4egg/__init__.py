"""v4egg: from recordings of macaque V4 to the images that excite its neurons.

Load what the workflow wrote (:func:`load_recording`, :func:`load_responses`, :func:`load_encoder`, :func:`load_prior`,
:func:`load_compact_models`), make images for the units of an ensemble or of any torch model (:func:`wrap_model`,
:func:`synthesize_mei`, :func:`synthesize_meni`, :func:`synthesize_diverse`, :func:`reconstruct`,
:func:`search_natural_images`, :class:`EnergyGuidedPipeline`), and score them (:class:`Judge`). Energies and constraints
are in :mod:`v4egg.synthesis`. Names are imported when they are used, so that ``import v4egg`` does not import torch.

Example:
    >>> import torch, v4egg
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8))
    >>> model = v4egg.wrap_model(network, 8, size=8, channels=1, mean=[0.5], std=[0.2])
    >>> v4egg.synthesize_mei(model, units=[7], method="gradient_ascent", steps=5)["image"].shape
    (1, 1, 1, 8, 8)
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = version("v4egg")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
