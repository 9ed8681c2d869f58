"""Image statistics and similarities that need no network: spectra, filter energies, structural similarity.

Images are square float arrays (n, channel, y, x) in [0, 1], grey or RGB. Spectra and filter energies are those of the
luminance.
"""

from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity

from v4egg.errors import V4eggError
from v4egg.images.processing import to_channels

ORIENTATIONS = 4
OCTAVES = 1.0  # bandwidth of a filter, full width at half height
FLOOR = 1e-3  # smallest amplitude of a filter in units of [0, 1]: a quarter of a grey level
_WINDOW = 11  # px: side of the SSIM's Gaussian window of sigma 1.5


def radial_spectrum(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the power of the luminance by spatial frequency, averaged over orientations.

    Args:
        images: (n, channel, y, x) in [0, 1]. A Hann window suppresses the discontinuity at the borders.

    Returns:
        Frequencies (f,) in cycles per image, from 1 to the Nyquist limit, and power (n, f).

    Example:
        >>> waves = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(32) / 32)
        >>> frequencies, power = radial_spectrum(np.tile(waves, (1, 1, 32, 1)))
        >>> int(frequencies[power[0].argmax()])
        4
    """
    pixels = _luminance(images)
    side = pixels.shape[-1]
    window = np.hanning(side + 2)[1:-1]
    window = window[:, None] * window
    centred = pixels - (pixels * window).sum((1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2(centred * window)) ** 2 / (window**2).sum()
    cycles = np.fft.fftfreq(side, 1 / side)
    ring = np.round(np.hypot(cycles[:, None], cycles)).astype(int)
    frequencies = np.arange(1, side // 2 + 1)
    rings = [power[:, ring == f].mean(1) for f in frequencies]
    return frequencies, np.stack(rings, 1)


def spectrum_slope(images: np.ndarray) -> np.ndarray:
    """Compute the exponent of power over frequency, from 2 cycles per image to three quarters of the Nyquist limit.

    Args:
        images: (n, channel, y, x) in [0, 1].

    Returns:
        (n,), about -2 for natural scenes; NaN for a uniform image.

    Source:
        Field 1987 (J Opt Soc Am A 4:2379).

    Example:
        >>> noise = np.random.default_rng(0).random((1, 1, 64, 64))
        >>> bool(abs(spectrum_slope(noise)[0]) < 0.2)  # white noise
        True
    """
    frequencies, power = radial_spectrum(images)
    used = (frequencies >= 2) & (frequencies <= 0.75 * frequencies[-1])
    x = np.log(frequencies[used])
    x = x - x.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(np.where(power[:, used] > 1e-12, power[:, used], np.nan))
    return (y * x).sum(1) / (x**2).sum()


def filter_energies(images: np.ndarray, grid: int = 1) -> np.ndarray:
    """Compute the log amplitudes of oriented filters, pooled over a grid of fields.

    The log-Gabor filters lie an octave apart from a quarter of the sampling frequency down to 2 cycles per image, at
    four orientations. The amplitude in a field is the root of the mean squared modulus.

    Args:
        images: (n, channel, y, x) in [0, 1].
        grid: number of fields along each side; must divide the side.

    Returns:
        (n, scales x orientations x grid^2), natural logarithms.

    Raises:
        V4eggError: the images do not divide into the grid.

    Source:
        Field 1987 (J Opt Soc Am A 4:2379); the pooling is that of the spatial envelope of Oliva & Torralba 2001 (Int J
        Comput Vis 42:145).

    Example:
        >>> filter_energies(np.random.default_rng(0).random((2, 1, 32, 32)), grid=2).shape
        (2, 48)
    """
    pixels = _luminance(images)
    side = pixels.shape[-1]
    if side % grid:
        raise V4eggError(f"filter energies: images of {side} px do not divide into {grid} x {grid} fields")
    spectrum = np.fft.fft2(pixels - pixels.mean((1, 2), keepdims=True))
    parts = []
    for gain in _filters(side):
        squared = np.abs(np.fft.ifft2(spectrum * gain)) ** 2
        fields = squared.reshape(len(pixels), grid, side // grid, grid, side // grid).mean((2, 4))
        parts.append(0.5 * np.log(fields.reshape(len(pixels), -1) + FLOOR**2))
    return np.concatenate(parts, 1)


def features(images: np.ndarray) -> np.ndarray:
    """Compute a few features per image: filter energies over the whole image, mean and sd of each channel.

    Returns:
        (n, D).
    """
    images = np.asarray(images, np.float64)
    return np.concatenate([filter_energies(images), images.mean((2, 3)), images.std((2, 3))], 1)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the Fréchet distance between two sets of features, each described by a normal distribution.

    The distance is |difference of means|^2 + tr(A + B - 2 (A B)^(1/2)) with covariances A and B. Its estimate falls
    with the number of images, so only sets of equal size are comparable.

    Args:
        first: (n, D).
        second: (m, D).

    Raises:
        V4eggError: a set has fewer than two images.

    Source:
        Dowson & Landau 1982 (J Multivar Anal 12:450); with a network's features it is the FID of Heusel et al. 2017
        (NeurIPS).

    Example:
        >>> points = np.random.default_rng(0).normal(size=(50, 3))
        >>> round(frechet_distance(points, points + [2.0, 0.0, 0.0]), 6)
        4.0
    """
    if min(len(first), len(second)) < 2:
        raise V4eggError("Fréchet distance: each set needs two images or more")
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = _root(a)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    return float(np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * cross)


def similarity(images: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Compare images with the true images that they should show.

    Args:
        images: (n, channel, y, x) in [0, 1], at least 11 px per side.
        true: of the same shape.

    Returns:
        Three measures, (n,) each:

        - ``ssim``: structural similarity with a Gaussian window, over channels; 1 for the same image;
        - ``pixel_correlation``: Pearson correlation over all pixels and channels; NaN for a uniform image;
        - ``feature_distance``: mean absolute difference between local log filter energies on a 4 x 4 grid; 0 for the
          same image, and 0.69 where every energy differs by a factor of two.

    Raises:
        V4eggError: the shapes differ, or the images are smaller than the window of the structural similarity.

    Source:
        Wang et al. 2004 (IEEE Trans Image Process 13:600) for the structural similarity.

    Example:
        >>> images = np.random.default_rng(0).random((2, 1, 16, 16))
        >>> {name: values.round(6).tolist() for name, values in similarity(images, images).items()}
        {'ssim': [1.0, 1.0], 'pixel_correlation': [1.0, 1.0], 'feature_distance': [0.0, 0.0]}
    """
    if images.shape != true.shape or min(images.shape[-2:]) < _WINDOW:
        raise V4eggError(
            f"similarity of images of shapes {images.shape} and {true.shape}: give equal shapes from {_WINDOW} px"
        )
    pairs = list(zip(np.asarray(images, np.float64), np.asarray(true, np.float64), strict=True))
    options: dict[str, Any] = {"channel_axis": 0, "data_range": 1.0, "gaussian_weights": True, "sigma": 1.5}
    grid = 4 if images.shape[-1] % 4 == 0 else 1
    return {
        "ssim": np.array([structural_similarity(a, b, **options) for a, b in pairs]),
        "pixel_correlation": np.array([_correlation(a, b) for a, b in pairs]),
        "feature_distance": np.abs(filter_energies(images, grid) - filter_energies(true, grid)).mean(1),
    }


def _luminance(images: np.ndarray) -> np.ndarray:
    """(n, channel, y, x) -> (n, y, x)."""
    return to_channels(torch.as_tensor(np.asarray(images, np.float64)), 1)[:, 0].numpy()


def _filters(side: int) -> list[np.ndarray]:
    """Gains (side, side) in the frequency domain, one per scale and orientation."""
    cycles = np.fft.fftfreq(side)
    radius, angle = np.hypot(cycles[:, None], cycles), np.arctan2(cycles[:, None], cycles)
    with np.errstate(divide="ignore"):
        octaves = np.log2(radius)
    sd_octaves = OCTAVES / (2 * np.sqrt(2 * np.log(2)))
    step = np.pi / ORIENTATIONS
    gains = []
    centre = 0.25
    while centre * side >= 2:
        radial = np.exp(-((octaves - np.log2(centre)) ** 2) / (2 * sd_octaves**2))
        for k in range(ORIENTATIONS):
            difference = np.angle(np.exp(1j * (angle - k * step)))  # in (-pi, pi]: one lobe gives a smooth modulus
            gains.append(2 * radial * np.exp(-(difference**2) / (2 * (step / 1.5) ** 2)))
        centre /= 2
    return gains


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / length) if length > 0 else np.nan
