"""Image files of many kinds give the pixels that they hold, or are refused in one line."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from v4egg.errors import V4eggError
from v4egg.images.files import list_image_files, range_of_files, read_image_file
from v4egg.images.pixels import as_uint8

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (6, 8)).astype(np.uint8)
GREY16 = GENERATOR.integers(0, 65536, (6, 8)).astype(np.uint16)
RGB = GENERATOR.integers(0, 256, (6, 8, 3)).astype(np.uint8)
RGBA = GENERATOR.integers(0, 256, (6, 8, 4)).astype(np.uint8)
LA = RGBA[..., :2]


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.png", GREY), ("a.png", GREY16), ("a.png", RGB), ("a.png", RGBA), ("a.png", LA), ("a.png", GREY > 100),
        ("a.bmp", GREY), ("a.bmp", RGB), ("a.PNG", GREY),
    ],
)  # fmt: skip
def test_files_that_pillow_writes(tmp_path, name, pixels):
    Image.fromarray(pixels).save(tmp_path / name)
    read = read_image_file(tmp_path / name)
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "pixels",
    [GREY, GREY16, RGB, RGBA, GREY > 100, GREY.astype(np.int32), GREY / 255, (RGB / 255).astype(np.float32)],
    ids=lambda pixels: f"{pixels.dtype}-{pixels.ndim}",
)
def test_tiff_files(tmp_path, pixels, compression):
    colour = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=colour, compression=compression)
    read = read_image_file(tmp_path / "a.tif")
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("pixels", [GREY, GREY16, RGB, RGBA, LA, (GREY / 255).astype(np.float32)])
def test_tiff_files_compressed_as_most_programs_do(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.tiff", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.tiff"), pixels)


@pytest.mark.parametrize("pixels", [GREY, GREY16, GREY > 100], ids=["uint8", "uint16", "bool"])
def test_a_tiff_whose_zero_is_white(tmp_path, pixels):
    inverted = ~pixels
    tifffile.imwrite(tmp_path / "a.tif", inverted, photometric="miniswhite")
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.tif"), pixels)


def test_planes_and_palettes_of_tiff_files(tmp_path):
    tifffile.imwrite(tmp_path / "planes.tif", RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image_file(tmp_path / "planes.tif"), RGB)
    indexed = Image.fromarray(RGB).quantize(16)
    indexed.save(tmp_path / "palette.tif")
    np.testing.assert_array_equal(read_image_file(tmp_path / "palette.tif"), np.asarray(indexed.convert("RGB")))


def test_webp_and_jpeg(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.webp"), RGB)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.jpg"), np.asarray(Image.open(tmp_path / "a.jpg")))


def test_transparency_of_palettes_and_levels(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image_file(tmp_path / "p.png").tolist() == [[[10, 20, 30, 0], [40, 50, 60, 255]]]
    Image.fromarray(np.array([[7, 9]], np.uint8)).save(tmp_path / "l.png", transparency=7)
    assert read_image_file(tmp_path / "l.png").tolist() == [[[7, 0], [9, 255]]]
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "b.png", transparency=0)
    (image,) = as_uint8([read_image_file(tmp_path / "b.png")], where="s")
    assert image[0].tolist() == [[255, 128]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.png"), expected)
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.tif"), expected)


def png16(pixels, kind):
    """A PNG file of 16 bits per channel, which Pillow cannot write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_a_png_of_16_bits_with_colours_is_refused(tmp_path, kind, channels):
    (tmp_path / "a.png").write_bytes(png16(np.full((2, 3, channels), 1000, np.uint16), kind))
    with pytest.raises(V4eggError, match=r"a\.png: a PNG of 16 bits with colours or alpha .* as a TIFF"):
        read_image_file(tmp_path / "a.png")


def test_files_that_are_no_single_rgb_or_grey_image_are_refused(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(RGB).save(tmp_path / "film.webp", save_all=True, append_images=[Image.fromarray(RGB[::-1].copy())])
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([GREY, GREY]), photometric="minisblack")
    tifffile.imwrite(tmp_path / "premultiplied.tif", RGBA, photometric="rgb", extrasamples=["assocalpha"])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.tif").write_text("no image")
    Image.fromarray(RGB).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    words = {
        "cmyk.jpg": "colours of kind CMYK are not read; save the image as grey or RGB",
        "cmyk.tif": "kind SEPARATED",
        "film.webp": "holds several images; save each",
        "pages.tif": "holds 2 pages; save each",
        "premultiplied.tif": "ASSOCALPHA, is not read",
        "empty.png": "not a readable image",
        "text.tif": "not a readable image",
        "cut.png": "not a readable image",
    }
    for name, text in words.items():
        with pytest.raises(V4eggError, match=text) as caught:
            read_image_file(tmp_path / name)
        assert name in str(caught.value)


def test_folders_are_listed_in_natural_order_without_hidden_files(tmp_path):
    for name in ("img_10.png", "img_2.PNG", "b/1.webp", "b/c/2.tiff", ".hidden/3.png", "._img_2.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    listed = [path.relative_to(tmp_path).as_posix() for path in list_image_files(tmp_path)]
    assert listed == ["b/1.webp", "b/c/2.tiff", "img_2.PNG", "img_10.png"]
    with pytest.raises(V4eggError, match="no such folder"):
        list_image_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(V4eggError, match="contains no image"):
        list_image_files(tmp_path / "empty")


def test_the_range_of_a_folder_is_that_of_all_its_files(tmp_path):
    Image.fromarray(np.full((2, 2), 257, np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((2, 2), 65535, np.uint16)).save(tmp_path / "light.png")
    assert range_of_files(list_image_files(tmp_path), where="s") == (0, 65535)
    (tmp_path / "light.png").unlink()
    with pytest.raises(V4eggError, match="uint16 pixels from 257 to 257"):
        range_of_files(list_image_files(tmp_path), where="s")


def test_of_files_with_8_bits_only_the_first_are_decoded(tmp_path, monkeypatch):
    import v4egg.images.files as files

    for k, value in enumerate([1, 200, 90, 80]):
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(tmp_path / f"{k}.png")
    decoded = []
    monkeypatch.setattr(files, "read_image_file", lambda path: decoded.append(path.name) or read_image_file(path))
    assert range_of_files(list_image_files(tmp_path), where="s") == (0, 255)
    assert decoded == ["0.png", "1.png"]
    Image.fromarray(np.full((2, 2), 9000, np.uint16)).save(tmp_path / "4.png")
    with pytest.raises(V4eggError, match="dtypes uint16 and uint8"):
        range_of_files(list_image_files(tmp_path), where="s")
