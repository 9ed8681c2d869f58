"""Adversarial training, which makes encoders robust to small changes of an image.

Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, with a single gradient step
(Goodfellow et al., ICLR 2015). The pixel noise that is added before acts as its random start.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from v4egg.encoders.encoder import Encoder


def changed_against(encoder: Encoder, images: Tensor, error: Callable[[Tensor], Tensor], norm: float) -> Tensor:
    """Images (B, C, y, x), each moved by ``norm`` along the gradient of the encoder's error.

    Args:
        encoder: in training mode; the gradient is computed in evaluation mode, which leaves its running statistics
            unchanged.
        images: in [0, 1], or outside where noise was added.
        error: images -> scalar error, a sum of terms of single images.
        norm: L2 norm of the change of a z-scored image.
    """
    std = encoder.stimulus_spec.std
    encoder.eval()
    varied = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(error(varied), varied)
    encoder.train()
    scaled = gradient * std
    length = scaled.flatten(1).norm(dim=1)[:, None, None, None]
    return images + norm * std * scaled / (length + torch.finfo(length.dtype).tiny)
