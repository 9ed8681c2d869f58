"""Encoders that small changes of an image do not fool: each training image is first changed against the encoder.

Madry et al., "Towards deep learning models resistant to adversarial attacks" (ICLR 2018), with one step of the change
(Goodfellow et al., ICLR 2015) along the gradient's direction; pixel noise, which comes before it, is its random start.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from v4egg.encoders.encoder import Encoder


def changed_against(encoder: Encoder, images: Tensor, error: Callable[[Tensor], Tensor], norm: float) -> Tensor:
    """Images (B, C, y, x), each moved by ``norm`` in the direction in which the encoder's error grows fastest.

    Args:
        encoder: in training mode; the change is made against it as it is when used (no dropout, normalisation by
            running statistics, which the change leaves as they are).
        images: in [0, 1], or beyond where noise was added.
        error: images -> the error, a scalar to which each image adds a part of its own.
        norm: L2 length of a change, in sd of the pixels by channel, as z-scored images have it.
    """
    std = encoder.stimulus_spec.std
    encoder.eval()
    varied = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(error(varied), varied)
    encoder.train()
    scaled = gradient * std
    length = scaled.flatten(1).norm(dim=1)[:, None, None, None]
    return images + norm * std * scaled / (length + torch.finfo(length.dtype).tiny)
