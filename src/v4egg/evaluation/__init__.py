"""Evaluation: images and encoders under judges that were not used to make them, and the statistics of both.

Names are imported when they are used, so that importing the package does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
