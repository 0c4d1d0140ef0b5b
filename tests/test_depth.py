"""Sixteen bits a channel, and the layouts of TIFF: what comes in goes out, bit for bit."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import image_files
import numpy as np
import pytest
from PIL import Image

from genkit.errors import InputError
from genkit.images import Picture, decode, encode, losses

RANDOM = np.random.default_rng(0)


def deep(*channels: int) -> Any:
    return RANDOM.integers(0, 65536, (13, 19, *channels), np.uint16)


def shallow(*channels: int) -> Any:
    return RANDOM.integers(0, 256, (13, 19, *channels), np.uint8)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("color_type", "shape"), [(0, ()), (2, (3,)), (4, (2,)), (6, (4,))])
def test_every_png_of_sixteen_bits(color_type: int, shape: Any, interlaced: bool) -> None:
    samples = deep(*shape)
    picture = decode(image_files.png(samples, color_type, interlaced=interlaced))
    has_alpha = color_type >= 4
    colors = samples[..., :-1].squeeze() if has_alpha else samples
    np.testing.assert_array_equal(picture.pixels, colors)
    assert (picture.alpha is not None) == has_alpha
    if has_alpha:
        np.testing.assert_array_equal(picture.alpha, samples[..., -1])
    for kind in ("png", "tiff"):
        back = decode(encode(picture, kind))
        np.testing.assert_array_equal(back.pixels, colors)
        if has_alpha:
            np.testing.assert_array_equal(back.alpha, samples[..., -1])


def test_others_read_what_is_written() -> None:
    samples = deep(3)
    for kind in ("png", "tiff"):
        data = np.frombuffer(encode(Picture(samples), kind), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)[..., ::-1], samples)


def test_grey_and_colour_are_rounded_alike() -> None:
    """To the nearest of 256 levels: 511 / 257 is 1.99."""
    values = np.array([[0, 128, 129, 511, 65535]], np.uint16)
    grey = decode(image_files.png(values, 0)).srgb()[0, :, 0]
    colour = decode(image_files.png(np.dstack([values] * 3), 2)).srgb()[0, :, 0]
    assert grey.tolist() == colour.tolist() == [0, 0, 1, 2, 255]


def test_a_transparent_colour_of_sixteen_bits() -> None:
    samples = deep(3)
    samples[3, 4] = (1, 2, 3)
    samples[3, 5] = (1, 2, 259)  # the same but for the low byte of a channel
    picture = decode(image_files.png(samples, 2, (b"tRNS", struct.pack(">3H", 1, 2, 3))))
    assert picture.alpha is not None
    assert [tuple(at) for at in np.argwhere(picture.alpha == 0)] == [(3, 4)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "layout",
    [{}, {"planar": True}, {"tile": 16}, {"predictor": True}, {"tile": 16, "predictor": True}],
)
@pytest.mark.parametrize("make", [deep, shallow])
def test_tiff_layouts(make: Any, layout: dict[str, Any], order: str) -> None:
    samples = make(3)
    picture = decode(image_files.tiff(samples, 2, order=order, **layout))
    np.testing.assert_array_equal(picture.pixels, samples)


@pytest.mark.parametrize("method", [1, 5, 8, 32773, 32946])
def test_tiff_compressions(method: int) -> None:
    samples = deep(3)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, method]
    data = cv2.imencode(".tiff", samples[..., ::-1], options)[1].tobytes()
    np.testing.assert_array_equal(decode(data).pixels, samples)


@pytest.mark.parametrize("make", [deep, shallow])
def test_alpha_of_a_tiff(make: Any) -> None:
    samples = make(4)
    picture = decode(image_files.tiff(samples, 2, extra=[2]))
    np.testing.assert_array_equal(picture.pixels, samples[..., :3])
    np.testing.assert_array_equal(picture.alpha, samples[..., 3])
    unnamed = decode(image_files.tiff(make(4), 2, extra=[0]))  # a channel of another meaning
    assert unnamed.alpha is None


def test_colours_that_are_multiplied_with_alpha() -> None:
    samples = np.full((2, 2, 4), (10000, 20000, 0, 32768), np.uint16)
    picture = decode(image_files.tiff(samples, 2, extra=[1]))
    assert np.abs(picture.pixels[0, 0].astype(int) - (20000, 40000, 0)).max() <= 2


def test_inks_with_alpha() -> None:
    """Five samples, as Photoshop writes them."""
    samples = np.zeros((4, 4, 5), np.uint8)
    samples[:, :2] = (0, 255, 255, 0, 200)
    picture = decode(image_files.tiff(samples, 5, extra=[2], tags={332: [1]}))
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    assert picture.alpha is not None
    assert picture.alpha[0].tolist() == [200, 200, 0, 0]
    assert losses(picture, "tiff") == ("its CMYK colours become sRGB",)


@pytest.mark.parametrize("make", [np.uint8, np.uint16])
def test_lab(make: Any) -> None:
    whole = np.iinfo(make).max
    white, red = (whole, 0, 0), (whole * 54 // 100, 81, 70)
    samples = np.array([[white, red]], make)
    if make is np.uint16:
        samples[..., 1:] <<= 8
    pixels = decode(image_files.tiff(samples, 8)).pixels
    assert np.abs(pixels.astype(int) - [[[255, 255, 255], [255, 0, 0]]]).max() <= 6


def test_white_is_zero_and_orientation() -> None:
    samples = deep(1)
    picture = decode(image_files.tiff(samples, 0, tags={274: [6]}))
    np.testing.assert_array_equal(picture.pixels, np.rot90(65535 - samples[..., 0], -1))


def test_twelve_bits_fill_the_scale() -> None:
    packed = bytes([0xFF, 0xF0, 0x00]) * 2
    data = struct.pack("<2sHIH", b"II", 42, 8, 9)
    fields = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, 2)]
    for tag, value in [*fields, (279, 6)]:
        data += struct.pack("<HHII", tag, 4, 1, value)
    pixels = decode(data + bytes(4) + packed).pixels
    assert pixels.tolist() == [[65535, 0], [65535, 0]]


def test_a_smaller_copy_is_no_second_page() -> None:
    file = io.BytesIO()
    first, second = (Image.fromarray(shallow(3)) for _ in range(2))
    second.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(file, "TIFF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(file.getvalue()).pixels, np.asarray(first))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (image_files.tiff(shallow(1), 32803), "is a TIFF of a camera's raw sensor data, which is"),
        (image_files.tiff(shallow(1), 1, tags={259: [34712]}), "compressed by JPEG 2000, which is"),
        (image_files.tiff(deep(1), 1, tags={339: [3]}), "has floating-point numbers of 16 bits"),
        (image_files.tiff(deep(1), 1, tags={339: [2]}), "has signed numbers; unsigned ones of"),
        (
            image_files.tiff(np.zeros((2, 2, 3), np.uint32), 2),
            "has 32 bits a channel; 8 and 16 are supported",
        ),
        (
            image_files.tiff(np.zeros((2, 2, 3), np.float32), 2, tags={339: [3, 3, 3]}),
            "has floating-point numbers of 32 bits a channel",
        ),
        (image_files.tiff(deep(3), 2)[:400], "broken|truncated"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode(data)


class TestGrey:
    @pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
    def test_it_stays_grey(self, kind: str) -> None:
        data = encode(decode(image_files.png(shallow(), 0)), kind)
        assert Image.open(io.BytesIO(data)).mode == "L"
        assert decode(data).is_grey

    def test_a_webp_has_three_equal_channels(self) -> None:
        back = decode(encode(decode(image_files.png(shallow(), 0)), "webp")).srgb().astype(int)
        assert np.ptp(back, axis=-1).max() <= 2

    def test_a_palette_of_greys_is_grey(self) -> None:
        file = io.BytesIO()
        Image.fromarray(shallow()).quantize(16).save(file, "GIF")
        assert decode(file.getvalue()).is_grey
        Image.fromarray(shallow(3)).quantize(16).save(file := io.BytesIO(), "GIF")
        assert not decode(file.getvalue()).is_grey

    def test_one_bit_becomes_grey(self) -> None:
        file = io.BytesIO()
        Image.fromarray(shallow()).convert("1").save(file, "PNG")
        picture = decode(file.getvalue())
        assert (picture.is_grey, set(np.unique(picture.pixels))) == (True, {0, 255})


def test_what_a_format_cannot_hold_is_told() -> None:
    alpha = np.full((13, 19), 9, np.uint16)
    picture = Picture(deep(3), alpha)
    assert losses(picture, "png") == losses(picture, "tiff") == ()
    rounded = "has 8 bits a channel: its 16 bits are rounded"
    assert losses(picture, "webp") == (f"a WebP {rounded}",)
    assert losses(picture, "jpeg") == (
        "a JPEG has no transparency: it is laid on white",
        f"a JPEG {rounded}",
    )
    assert losses(Picture(shallow(3), np.full((13, 19), 255, np.uint8)), "jpeg") == ()
