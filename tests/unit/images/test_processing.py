"""Images between the rooms."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from v4egg.errors import V4eggError
from v4egg.images.processing import (
    Preprocess,
    blur,
    channel_statistics,
    conform,
    resize,
    to_channels,
    to_float,
    to_uint8,
)


def test_uint8_round_trip():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(to_uint8(to_float(images)), images)


def test_shrinking_is_antialiased():
    checkers = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(16, 16)[None, None]
    assert torch.allclose(resize(checkers, 8), torch.full((1, 1, 8, 8), 0.5), atol=0.02)


def test_images_are_never_squashed():
    with pytest.raises(V4eggError, match=r"images of 8 x 4 px .* not square; crop or pad them first"):
        resize(torch.rand(1, 3, 4, 8), 4)
    with pytest.raises(V4eggError, match="not square"):
        conform(np.zeros((1, 1, 4, 8), np.uint8), 8, 1)


def test_grey_is_luminance_and_back_is_repetition():
    image = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert to_channels(image, 1).item() == pytest.approx(0.299)
    assert to_channels(to_channels(image, 1), 3).shape == (1, 3, 1, 1)
    with pytest.raises(V4eggError, match="4 channels cannot be converted to 3"):
        to_channels(torch.rand(1, 4, 2, 2), 3)


def test_blur_is_the_gaussian_of_scipy():
    image = torch.rand(2, 3, 20, 20, dtype=torch.float64)
    expected = gaussian_filter(image.numpy(), (0, 0, 1.5, 1.5), mode="mirror", truncate=4)
    assert np.allclose(blur(image, 1.5).numpy(), expected, atol=1e-6)
    assert blur(image, 0) is image


def test_preprocess_z_scores_and_inverts():
    images = np.random.default_rng(0).integers(0, 255, (50, 3, 12, 12), dtype=np.uint8)
    preprocess = Preprocess(12, 3, *channel_statistics(images))
    inputs = preprocess(to_float(images))
    assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(inputs.std((0, 2, 3)), torch.ones(3), atol=1e-3)
    assert torch.allclose(preprocess.invert(inputs), to_float(images), atol=1e-6)
    with pytest.raises(V4eggError, match="expected \\(batch, channel, y, x\\)"):
        preprocess(torch.rand(3, 12, 12))


def test_conform_does_not_depend_on_blocks():
    images = np.random.default_rng(0).integers(0, 255, (7, 3, 20, 20), dtype=np.uint8)
    assert np.array_equal(conform(images, 8, 1, block=2), conform(images, 8, 1, block=100))
