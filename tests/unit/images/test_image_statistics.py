"""Statistics of images against patterns whose answer is known."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from v4egg.errors import V4eggError
from v4egg.images.statistics import (
    ORIENTATIONS,
    features,
    filter_energies,
    frechet_distance,
    radial_spectrum,
    similarity,
    spectrum_slope,
)

SIDE = 32


def grating(cycles, angle=0.0, contrast=0.4):
    """Luminance varies along ``angle``."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    wave = np.cos(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)))
    return np.repeat(0.5 + contrast * wave[None], 3, 0)


def noise(exponent, n=30, side=64):
    """Noise whose power falls with frequency by that exponent."""
    generator = np.random.default_rng(0)
    cycles = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)) * side
    gain = np.where(cycles > 0, np.maximum(cycles, 1e-9) ** (exponent / 2), 0)
    waves = np.fft.ifft2(np.fft.fft2(generator.standard_normal((n, side, side))) * gain).real
    return 0.5 + 0.1 * waves[:, None] / waves.std()


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0])
def test_the_slope_of_noise_is_its_exponent(exponent):
    assert spectrum_slope(noise(exponent)).mean() == pytest.approx(exponent, abs=0.15)


def test_the_spectrum_of_a_grating_peaks_at_its_frequency():
    frequencies, power = radial_spectrum(np.stack([grating(4), grating(9)]))
    assert frequencies[power.argmax(1)].tolist() == [4, 9]
    assert np.isnan(spectrum_slope(np.full((1, 1, SIDE, SIDE), 0.3))).all()


def test_filters_see_scale_and_orientation():
    images = np.stack([grating(8, 0), grating(8, np.pi / 2), grating(2, 0)])
    energies = filter_energies(images).reshape(3, -1, ORIENTATIONS)
    best = [np.unravel_index(e.argmax(), e.shape) for e in energies]
    assert best[0] == (0, 0)  # a quarter of the sampling frequency
    assert best[1] == (0, 2)  # a right angle is two of four steps
    assert best[2][0] == 2  # two octaves lower


def test_filters_see_where_and_how_strong():
    left = np.full((3, SIDE, SIDE), 0.5)
    left[:, :, : SIDE // 2] = grating(8)[:, :, : SIDE // 2]
    fields = filter_energies(left[None], grid=2).reshape(-1, 2, 2)[0]
    assert (fields[:, 0] > fields[:, 1] + 1).all()
    strong, weak = filter_energies(np.stack([grating(8), grating(8, contrast=0.2)]))
    assert strong[0] - weak[0] == pytest.approx(np.log(2), abs=1e-3)
    with pytest.raises(V4eggError, match="32 px do not divide into 5 x 5"):
        filter_energies(left[None], grid=5)


def test_frechet_distance_of_normal_distributions():
    generator = np.random.default_rng(0)
    first = generator.standard_normal((4000, 3))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    moved = generator.standard_normal((4000, 3)) * [1, 2, 1] + [3, 0, 0]
    assert frechet_distance(first, moved) == pytest.approx(9 + 1, rel=0.05)  # 3^2, and (2 - 1)^2
    assert frechet_distance(first, moved) == pytest.approx(frechet_distance(moved, first))
    with pytest.raises(V4eggError, match="two images or more"):
        frechet_distance(first[:1], first)


def test_two_halves_of_a_set_are_closer_than_another_set():
    pink = features(noise(-2.0, 80))
    white = features(noise(-1.0, 40))
    assert frechet_distance(pink[:40], white) > 3 * frechet_distance(pink[:40], pink[40:])


def test_similarity_to_itself_to_a_weaker_and_to_another_image():
    true = np.stack([grating(4), grating(4), grating(4)])
    made = np.stack([grating(4), 0.5 + (grating(4) - 0.5) / 2, grating(4, np.pi / 2)])
    found = similarity(made, true)
    assert found["ssim"][0] == pytest.approx(1)
    assert found["pixel_correlation"] == pytest.approx([1, 1, 0], abs=1e-6)
    assert found["feature_distance"][0] == 0
    assert found["feature_distance"][1] < found["feature_distance"][2]
    direct = structural_similarity(made[1], true[1], channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=1.5)
    assert found["ssim"][1] == pytest.approx(direct)
    assert np.isnan(similarity(np.full_like(true, 0.5), true)["pixel_correlation"]).all()


def test_images_of_different_shapes_are_refused():
    with pytest.raises(V4eggError, match=r"shapes \(1, 1, 16, 16\) and \(1, 3, 16, 16\)"):
        similarity(np.zeros((1, 1, 16, 16)), np.zeros((1, 3, 16, 16)))
