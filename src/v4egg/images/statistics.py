"""What images are like, and how alike two are, by no network: spectra, filter energies, similarities.

Images are float arrays (n, channel, y, x) in [0, 1], square, grey or RGB; statistics of pattern are of the luminance.
"""

import numpy as np
import torch
from skimage.metrics import structural_similarity

from v4egg.errors import V4eggError
from v4egg.images.processing import to_channels

ORIENTATIONS = 4
OCTAVES = 1.0  # bandwidth of a filter, full width at half height
FLOOR = 1e-3  # amplitude in [0, 1] units below which a filter sees nothing: a quarter of a grey level
_WINDOW = 11  # px a side: the SSIM's Gaussian window of sigma 1.5


def radial_spectrum(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power of the luminance by spatial frequency, averaged over orientations.

    Returns:
        Frequencies (f,) in cycles an image, from 1 to the Nyquist limit, and power (n, f). A Hann window keeps the
        image's borders out.
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
    """Exponent (n,) of power over frequency, from 2 cycles an image to three quarters of the Nyquist limit.

    About -2 for natural scenes (Field 1987, J Opt Soc Am A 4:2379); NaN for a uniform image.
    """
    frequencies, power = radial_spectrum(images)
    used = (frequencies >= 2) & (frequencies <= 0.75 * frequencies[-1])
    x = np.log(frequencies[used])
    x = x - x.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(np.where(power[:, used] > 1e-12, power[:, used], np.nan))
    return (y * x).sum(1) / (x**2).sum()


def filter_energies(images: np.ndarray, grid: int = 1) -> np.ndarray:
    """Log amplitudes of oriented filters of the luminance, pooled over ``grid`` x ``grid`` fields.

    Log-Gabor filters (Field 1987) an octave apart from a quarter of the sampling frequency down to 2 cycles an image,
    at four orientations; the amplitude in a field is the root of the mean squared modulus. The idea is that of the
    spatial envelope (Oliva & Torralba 2001, Int J Comput Vis 42:145).

    Returns:
        (n, scales x orientations x grid^2), natural logarithms.
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
    """A small set of features (n, D): filter energies over the whole image, mean and sd of each channel."""
    images = np.asarray(images, np.float64)
    return np.concatenate([filter_energies(images), images.mean((2, 3)), images.std((2, 3))], 1)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two sets of features (n, D), (m, D), each taken as a normal distribution.

    |difference of means|^2 + tr(A + B - 2 (A B)^(1/2)) with covariances A, B (Dowson & Landau 1982; used on a network's
    features as FID by Heusel et al. 2017). It falls with the number of images: compare sets of equal size.

    Raises:
        V4eggError: a set has fewer than two images.
    """
    if min(len(first), len(second)) < 2:
        raise V4eggError("Fréchet distance: each set needs two images or more")
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = _root(a)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    return float(np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * cross)


def similarity(made: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """How alike each image is to the one it should show, (n,) each.

    - ``ssim``: structural similarity (Wang et al. 2004) with a Gaussian window, over channels; 1 for the same image.
    - ``pixel_correlation``: Pearson over all pixels and channels; NaN for a uniform image.
    - ``feature_distance``: mean absolute difference of local log filter energies on a 4 x 4 grid; 0 for the same image,
      and 0.69 where every energy is off by a factor of two.

    Raises:
        V4eggError: the images are of different shapes, or smaller than the window of the structural similarity.
    """
    if made.shape != true.shape or min(made.shape[-2:]) < _WINDOW:
        raise V4eggError(f"similarity of images of shapes {made.shape} and {true.shape}: equal ones from {_WINDOW} px")
    made, true = np.asarray(made, np.float64), np.asarray(true, np.float64)
    options = {"channel_axis": 0, "data_range": 1.0, "gaussian_weights": True, "sigma": 1.5}
    grid = 4 if made.shape[-1] % 4 == 0 else 1
    return {
        "ssim": np.array([structural_similarity(a, b, **options) for a, b in zip(made, true, strict=True)]),
        "pixel_correlation": np.array([_correlation(a, b) for a, b in zip(made, true, strict=True)]),
        "feature_distance": np.abs(filter_energies(made, grid) - filter_energies(true, grid)).mean(1),
    }


def _luminance(images: np.ndarray) -> np.ndarray:
    """(n, channel, y, x) -> (n, y, x)."""
    return to_channels(torch.as_tensor(np.asarray(images, np.float64)), 1)[:, 0].numpy()


def _filters(side: int) -> list[np.ndarray]:
    """Gains (side, side) in the frequency domain, one a scale and orientation."""
    cycles = np.fft.fftfreq(side)
    radius, angle = np.hypot(cycles[:, None], cycles), np.arctan2(cycles[:, None], cycles)
    with np.errstate(divide="ignore"):
        octaves = np.log2(radius)
    spread = OCTAVES / (2 * np.sqrt(2 * np.log(2)))
    turn = np.pi / ORIENTATIONS
    gains = []
    centre = 0.25
    while centre * side >= 2:
        radial = np.exp(-((octaves - np.log2(centre)) ** 2) / (2 * spread**2))
        for k in range(ORIENTATIONS):
            apart = np.angle(np.exp(1j * (angle - k * turn)))  # in (-pi, pi]: one lobe, so that the modulus is smooth
            gains.append(2 * radial * np.exp(-(apart**2) / (2 * (turn / 1.5) ** 2)))
        centre /= 2
    return gains


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / length) if length > 0 else np.nan
