"""What holds for the recordings of every reader: square images, and grey ones with one channel."""

import numpy as np
import pandas as pd
import pytest

from v4egg.errors import V4eggError
from v4egg.recordings import readers
from v4egg.recordings.outline import outline_of
from v4egg.recordings.recording import Recording

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 8), dtype=np.uint8)


@pytest.fixture
def read(monkeypatch):
    """``read(images, aspect=..., background=...)``: the recording and its outline, whatever the format."""

    def run(images, **looks):
        counts = np.ones((len(images), 2, 1), "float32")
        recording = Recording("s1", images, pd.DataFrame(index=["s1-u0"]), list("abc"), counts=counts, warnings=["w"])

        class Reader:
            def read(self, session, path, background):
                return recording

            def outline(self, session, path):
                return outline_of(recording)

        monkeypatch.setattr(readers, "_reader", lambda session, source: Reader())
        read = readers.read_recording("s1", {}, "file", **looks)
        assert readers.outline_recording("s1", {}, "file", **looks).shape[1:] == read.images.shape[2:]
        return read

    return run


def test_images_that_are_not_square_are_refused_by_recording_and_outline(read):
    words = r"session s1: images are 8 x 4 px .* images\.aspect to crop .* or to pad"
    with pytest.raises(V4eggError, match=words):
        read(PIXELS)
    with pytest.raises(V4eggError, match=words):
        readers.outline_recording("s1", {}, "file")


def test_images_are_cropped_or_padded(read):
    np.testing.assert_array_equal(read(PIXELS, aspect="crop").images, PIXELS[..., 2:6])
    padded = read(PIXELS, aspect="pad", background=1.0).images
    np.testing.assert_array_equal(padded[:, :, 2:6], PIXELS)
    assert (padded[:, :, [0, 1, 6, 7]] == 255).all()


def test_grey_images_stored_as_rgb_have_one_channel_and_a_warning(read):
    grey = np.repeat(PIXELS[:, :1, :, :4], 3, axis=1)
    recording = read(grey)
    np.testing.assert_array_equal(recording.images, grey[:, :1])
    assert recording.warnings == ["w", "images are stored as RGB and all of them are grey"]


def test_one_colour_image_makes_a_recording_one_in_colour(read):
    images = np.repeat(PIXELS[:, :1, :, :4], 3, axis=1)
    images[2, 0, 0, 0] ^= 1
    recording = read(images)
    np.testing.assert_array_equal(recording.images, images)
    assert recording.warnings == ["w"]
