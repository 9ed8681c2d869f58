"""Folders of images are streams of squares, read as the images of recordings are."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.images.pool import folder_batches

GREY = np.random.default_rng(0).integers(0, 256, (3, 4, 4)).astype(np.uint8)


def read(folder, batch_size=8, **options):
    return list(folder_batches(folder, batch_size, **{"size": 4, "channels": 1, **options}))


def test_images_come_in_natural_order_in_batches(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, image in zip(("img_10.png", "img_9.png", "deep/b.png"), GREY, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    parts = read(tmp_path, 2)
    assert [names for _, names in parts] == [["deep/b.png", "img_9.png"], ["img_10.png"]]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in parts])[:, 0], GREY[[2, 1, 0]])


def test_grey_and_colour_files_get_the_colours_that_are_asked_for(tmp_path):
    Image.fromarray(GREY[0]).save(tmp_path / "a.png")
    Image.fromarray(np.full((4, 4, 3), [255, 0, 0], np.uint8)).save(tmp_path / "b.png")
    ((grey, _),) = read(tmp_path)
    assert grey.shape == (2, 1, 4, 4)
    assert (grey[1] == 76).all()
    ((colour, _),) = read(tmp_path, channels=3)
    assert (colour[0] == GREY[0]).all()
    assert colour[1, :, 0, 0].tolist() == [255, 0, 0]


def test_images_that_are_not_square_follow_the_rule(tmp_path):
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    with pytest.raises(V4eggError, match=r"a\.png: images are 8 x 4 px .* images\.aspect to crop .* or to pad"):
        read(tmp_path)
    ((cropped, _),) = read(tmp_path, aspect="crop")
    assert (cropped == 200).all()
    ((padded, _),) = read(tmp_path, aspect="pad", size=8, background=0.2)
    np.testing.assert_array_equal(padded[0, 0, 2:6], wide)
    assert (padded[0, 0, [0, 1, 6, 7]] == 51).all()


def test_files_of_16_bits_have_one_range_and_dark_ones_stay_dark(tmp_path):
    for name, image in zip("abc", [np.zeros_like(GREY[0]), GREY[1], GREY[2]], strict=True):
        Image.fromarray(image.astype(np.uint16) * 257).save(tmp_path / f"{name}.png")
    ((images, _),) = read(tmp_path)
    assert (images[0] == 0).all()
    np.testing.assert_array_equal(images[1:, 0], GREY[1:])


def test_a_range_is_declared_where_values_do_not_tell(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY[0].astype(np.uint16) * 4, photometric="minisblack")
    with pytest.raises(V4eggError, match=r"uint16 pixels .* set natural\.pixel_range"):
        read(tmp_path)
    ((images, _),) = read(tmp_path, pixel_range=(0, 1020))
    np.testing.assert_array_equal(images[0, 0], GREY[0])


def test_transparency_shows_the_background(tmp_path):
    Image.fromarray(np.full((4, 4, 2), [255, 0], np.uint8)).save(tmp_path / "hidden.png")
    Image.fromarray(np.full((4, 4, 2), [255, 255], np.uint8)).save(tmp_path / "shown.png")
    ((images, _),) = read(tmp_path, background=0.0)
    assert images[:, 0, 0, 0].tolist() == [0, 255]


def test_a_folder_without_images_and_a_damaged_image_are_named(tmp_path):
    with pytest.raises(V4eggError, match=r"nowhere: there is no such folder of images"):
        read(tmp_path / "nowhere")
    with pytest.raises(V4eggError, match=r"contains no image"):
        read(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(V4eggError, match=r"broken\.png: not a readable image"):
        read(tmp_path)
