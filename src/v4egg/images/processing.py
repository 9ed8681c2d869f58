"""Images between the rooms: sizes, colour, smoothing and z-scores.

One convention everywhere outside a network: float images in [0, 1], (batch, channel, y, x), 1 (grey) or 3 (RGB)
channels, 0 black and 1 white. Networks bring their own :class:`Preprocess` to their own size, colour and scale.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.errors import V4eggError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def to_float(images: np.ndarray) -> Tensor:
    """uint8 (n, c, y, x) 0-255 -> float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 255


def to_uint8(images: Tensor) -> np.ndarray:
    """float in [0, 1] -> uint8 0-255, clipped."""
    return (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def resize(images: Tensor, size: int) -> Tensor:
    """Bilinear to (size, size), antialiased when shrinking; differentiable."""
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    shrinking = size < max(height, width)
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=shrinking)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """RGB to grey by luminance, or grey to RGB by repetition."""
    have = images.shape[-3]
    if have == channels:
        return images
    if have == 3 and channels == 1:
        weights = images.new_tensor(LUMINANCE).view(3, 1, 1)
        return (images * weights).sum(-3, keepdim=True)
    if have == 1 and channels == 3:
        return images.expand(*images.shape[:-3], 3, *images.shape[-2:])
    raise V4eggError(f"images have {have} channels and {channels} are asked for; use 1 (grey) or 3 (RGB)")


def conform(images: np.ndarray, size: int, channels: int, block: int = 256) -> np.ndarray:
    """uint8 images (n, c, y, x) at another size and colour, block by block."""
    parts = [
        to_uint8(resize(to_channels(to_float(images[i : i + block]), channels), size))
        for i in range(0, len(images), block)
    ]
    return np.concatenate(parts)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian, sigma in pixels, truncated at 4 sigma, reflecting edges (facts of the EGG baseline)."""
    if sigma <= 0:
        return images
    radius = min(max(1, round(4 * sigma)), min(images.shape[-2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = images.reshape(-1, 1, *images.shape[-2:])
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="reflect"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="reflect"), kernel.view(1, 1, -1, 1))
    return flat.reshape(images.shape)


class Preprocess(nn.Module):
    """The bridge from images in [0, 1] of any size and colour to a network's input.

    Resizes to ``size``, converts to ``channels`` and z-scores each channel with ``mean`` and ``std`` (in [0, 1] units).
    """

    def __init__(self, size: int, channels: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.size, self.channels = size, channels
        for name, values in {"mean": mean, "std": std}.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4:
            raise V4eggError(f"images of shape {tuple(images.shape)}: expected (batch, channel, y, x) in [0, 1]")
        return (resize(to_channels(images, self.channels), self.size) - self.mean.to(images.device)) / self.std.to(
            images.device
        )

    def invert(self, inputs: Tensor) -> Tensor:
        """Network input -> image in [0, 1] units (not clipped), at the network's size and colour."""
        return inputs * self.std.to(inputs.device) + self.mean.to(inputs.device)


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, in [0, 1] units, over uint8 images (n, c, y, x)."""
    scaled = images.astype(np.float32) / 255
    return scaled.mean((0, 2, 3), dtype=np.float64).tolist(), scaled.std((0, 2, 3), dtype=np.float64).tolist()


def stimulus_spec_of(images: np.ndarray) -> Preprocess:
    """Size, colour and scale of images that are made to resemble these, uint8 (n, c, y, x)."""
    return Preprocess(images.shape[-1], images.shape[1], *channel_statistics(images))
