"""Files that cannot be read are named for what they are."""

from __future__ import annotations

import io

import image_files
import numpy as np
import pytest
from PIL import Image

from genkit.errors import InputError
from genkit.formats import is_lossy
from genkit.images import decode

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"BM" + bytes(60), "BMP"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(40), "AVIF"),
        (b"8BPS\0\1" + bytes(40), "Photoshop (PSD)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"P6\n3 3\n255\n" + bytes(27), "Netpbm"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns=''/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "HTML"),
    ],
)
def test_another_format(data: bytes, name: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(data)
    assert caught.value.message == (f"is not a PNG, JPEG, WebP, TIFF or GIF picture, but {name}")
    assert caught.value.hint


def test_text_is_none_of_them() -> None:
    with pytest.raises(InputError, match=r"^is not a PNG, JPEG, WebP, TIFF or GIF picture$"):
        decode(b"P. S. hello")


def test_a_lossless_jpeg() -> None:
    data = jpeg().replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(InputError, match=r"^is a lossless or layered JPEG, which is not supported"):
        decode(data)


def test_twelve_bits_in_a_jpeg() -> None:
    data = jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c", 1)
    with pytest.raises(InputError, match=r"^is a JPEG of a kind that is not supported \(.*12-bit"):
        decode(data)


def test_a_png_of_apple() -> None:
    data = image_files.png(PIXELS, 2)
    crushed = data[:8] + image_files.chunk(b"CgBI", bytes(4)) + data[8:]
    with pytest.raises(InputError, match=r"^is a PNG for Apple's devices \(CgBI\)"):
        decode(crushed)


def test_a_bigtiff_is_read() -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "TIFF", big_tiff=True)
    np.testing.assert_array_equal(decode(file.getvalue()).pixels, PIXELS)


@pytest.mark.parametrize(("lossless", "alpha"), [(True, False), (False, False), (False, True)])
def test_a_lossy_webp(lossless: bool, alpha: bool) -> None:
    file = io.BytesIO()
    array = np.dstack([PIXELS, PIXELS[..., 0]]) if alpha else PIXELS
    Image.fromarray(array).save(file, "WEBP", lossless=lossless)
    assert is_lossy(file.getvalue(), "webp") is not lossless
