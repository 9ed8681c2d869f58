"""Size, colour, smoothing and z-scores of images.

Outside of networks all images are floats in [0, 1] of shape (batch, channel, y, x) with 1 (grey) or 3 (RGB) channels,
where 0 is black and 1 white. A network's :class:`Preprocess` converts them to the network's size, colour and scale.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.errors import V4eggError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def to_float(images: np.ndarray) -> Tensor:
    """Convert uint8 images (0-255) to a float32 tensor in [0, 1].

    Example:
        >>> to_float(np.array([0, 51, 255], "uint8"))
        tensor([0.0000, 0.2000, 1.0000])
    """
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 255


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert float images in [0, 1] to a uint8 array (0-255), clipped and rounded.

    Example:
        >>> to_uint8(torch.tensor([-0.5, 0.2, 1.0]))
        array([  0,  51, 255], dtype=uint8)
    """
    result: np.ndarray = (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return result


def resize(images: Tensor, size: int) -> Tensor:
    """Resize square images (n, channel, y, x) to ``size`` x ``size`` px: bilinear, antialiased when reducing.

    The result is differentiable in the images.

    Raises:
        V4eggError: the images are not square; they are never squashed.

    Example:
        >>> resize(torch.zeros(1, 3, 8, 8), 4).shape
        torch.Size([1, 3, 4, 4])
    """
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    if height != width:
        raise V4eggError(
            f"images of {width} x {height} px (width x height) are not square; crop or pad them first, as "
            "v4egg.images.aspect.square does"
        )
    shrinking = size < height
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=shrinking)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """Convert images (..., channel, y, x) from RGB to grey by luminance, or from grey to RGB by repetition.

    Raises:
        V4eggError: either number of channels is not 1 or 3.

    Example:
        >>> to_channels(torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1), 1).item()
        0.886...
    """
    given = images.shape[-3]
    if given == channels:
        return images
    if given == 3 and channels == 1:
        weights = images.new_tensor(LUMINANCE).view(3, 1, 1)
        return (images * weights).sum(-3, keepdim=True)
    if given == 1 and channels == 3:
        return images.expand(*images.shape[:-3], 3, *images.shape[-2:])
    raise V4eggError(f"images with {given} channels cannot be converted to {channels}; use 1 (grey) or 3 (RGB)")


def conform(images: np.ndarray, size: int, channels: int, block: int = 256) -> np.ndarray:
    """Convert uint8 images (n, channel, y, x) to another size and number of channels, ``block`` images at a time.

    Example:
        >>> conform(np.full((2, 1, 8, 8), 100, "uint8"), size=4, channels=3).shape
        (2, 3, 4, 4)
    """
    parts = [
        to_uint8(resize(to_channels(to_float(images[i : i + block]), channels), size))
        for i in range(0, len(images), block)
    ]
    return np.concatenate(parts)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Blur images with a Gaussian, as the gradient ascent baseline of EGG does with its gradients.

    Args:
        images: (..., y, x).
        sigma: standard deviation in px; 0 leaves the images as they are. The kernel is truncated at 4 sigma.

    Returns:
        The shape of ``images``; edges are reflected.

    Source:
        Pierzchlewicz et al. 2023 (NeurIPS).

    Example:
        >>> blur(torch.ones(1, 1, 8, 8), 1.0).mean().round(decimals=4)
        tensor(1.)
    """
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
    """Converts images in [0, 1] of any size and colour to the input of a network.

    Args:
        size: side of the network's input in px.
        channels: of the network's input, 1 (grey) or 3 (RGB).
        mean: per channel, in units of [0, 1]; subtracted.
        std: per channel, in units of [0, 1]; the difference is divided by it.

    Example:
        >>> preprocess = Preprocess(size=4, channels=1, mean=[0.5], std=[0.25])
        >>> inputs = preprocess(torch.ones(2, 3, 8, 8))
        >>> inputs.shape, round(inputs[0, 0, 0, 0].item(), 4)
        (torch.Size([2, 1, 4, 4]), 2.0)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, channels: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.size, self.channels = size, channels
        for name, values in {"mean": mean, "std": std}.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's input (batch, channels, size, size) for images (batch, channel, y, x) in [0, 1].

        Raises:
            V4eggError: the images are not four-dimensional, or have neither 1 nor 3 channels.
        """
        if images.ndim != 4:
            raise V4eggError(f"images of shape {tuple(images.shape)}: expected (batch, channel, y, x) in [0, 1]")
        resized = resize(to_channels(images, self.channels), self.size)
        return (resized - self.mean.to(images.device)) / self.std.to(images.device)

    def invert(self, inputs: Tensor) -> Tensor:
        """Return the images, in units of [0, 1] but not clipped, that a network's input stands for."""
        return inputs * self.std.to(inputs.device) + self.mean.to(inputs.device)


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of each channel over uint8 images (n, channel, y, x).

    Returns:
        The means and the standard deviations, one per channel, in units of [0, 1].

    Example:
        >>> channel_statistics(np.array([0, 255], "uint8").reshape(2, 1, 1, 1))
        ([0.5], [0.5])
    """
    scaled = images.astype(np.float32) / 255
    return scaled.mean((0, 2, 3), dtype=np.float64).tolist(), scaled.std((0, 2, 3), dtype=np.float64).tolist()


def stimulus_spec_of(images: np.ndarray) -> Preprocess:
    """Return size, number of channels, mean and standard deviation of uint8 images (n, channel, y, x).

    Synthesized images are given the same.
    """
    return Preprocess(images.shape[-1], images.shape[1], *channel_statistics(images))
