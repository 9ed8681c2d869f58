"""Image generators without weights: pixels, and sums of waves with the spectrum of natural images."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from v4egg.images.processing import Preprocess
from v4egg.xdream.generators.generator import GeneratorOptions, ImageGenerator

# Luminance and two opponent axes as orthonormal rows; natural images vary several times less along the latter
_OPPONENT = ((3**-0.5,) * 3, (2**-0.5, -(2**-0.5), 0.0), (6**-0.5, 6**-0.5, -2 * 6**-0.5))
_COLOUR_SD = (1.0, 0.25, 0.15)


class Pixels(ImageGenerator):
    """The code is the image itself, z-scored by the mean and standard deviation of natural images."""

    def __init__(self, stimulus_spec: Preprocess) -> None:
        super().__init__()
        self.stimulus_spec = stimulus_spec
        self.shape = (stimulus_spec.channels, stimulus_spec.size, stimulus_spec.size)
        self.size = stimulus_spec.channels * stimulus_spec.size**2

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x) of codes (B, D)."""
        return self.stimulus_spec.invert(codes.unflatten(1, self.shape))

    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D) of images (B, C, y, x) in [0, 1]."""
        return self.stimulus_spec(images).flatten(1)


class Fourier(ImageGenerator):
    """The code is the image's Fourier coefficients, weighted by 1 / frequency.

    Amplitudes fall with frequency as those of natural images do (Field, "Relations between the statistics of natural
    images and the response properties of cortical cells", JOSA A 1987), and colours have one luminance and two opponent
    axes. Images of standard normal codes have the mean and standard deviation of natural images.
    """

    amplitude: Tensor
    mixing: Tensor

    def __init__(self, stimulus_spec: Preprocess) -> None:
        super().__init__()
        self.stimulus_spec = stimulus_spec
        side, channels = stimulus_spec.size, stimulus_spec.channels
        self.shape = (channels, side, side)
        frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
        amplitude = 1 / frequency.clamp_min(1 / side)
        amplitude[0, 0] = 0.0  # the mean is that of the stimulus specification
        # of real and imaginary coefficients and their mirror images; waves without a mirror image lose half of theirs
        weight = torch.full((side // 2 + 1,), 4.0)
        weight[0] = 1.0
        if side % 2 == 0:
            weight[-1] = 1.0
        variance = (amplitude.square() * weight).sum() / side**4
        self.register_buffer("amplitude", amplitude / variance.sqrt())
        mixing = torch.tensor(_OPPONENT).T * torch.tensor(_COLOUR_SD) if channels == 3 else torch.ones(1, 1)
        self.register_buffer("mixing", mixing / mixing.square().sum(1, keepdim=True).sqrt())
        self.size = channels * amplitude.numel() * 2

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x) of codes (B, D)."""
        side = self.stimulus_spec.size
        parts = codes.unflatten(1, (self.shape[0], side, side // 2 + 1, 2)).contiguous()
        waves = torch.fft.irfft2(torch.view_as_complex(parts) * self.amplitude, s=(side, side))
        return self.stimulus_spec.invert(torch.einsum("ij,bjyx->biyx", self.mixing, waves))

    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D) of images (B, C, y, x) in [0, 1]."""
        axes = torch.einsum("ij,bjyx->biyx", torch.linalg.inv(self.mixing), self.stimulus_spec(images))
        waves = torch.fft.rfft2(axes) / self.amplitude.clamp_min(1e-12)
        waves[..., 0, 0] = 0
        return torch.view_as_real(waves).flatten(1)


class PixelsOptions(GeneratorOptions):
    """Pixels themselves, without any knowledge of natural images."""

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> Pixels:
        """The image generator for this size and colour."""
        return Pixels(stimulus_spec)


class FourierOptions(GeneratorOptions):
    """Sums of waves with the spectrum of natural images."""

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> Fourier:
        """The image generator for this size and colour."""
        return Fourier(stimulus_spec)
