"""Profiles that cannot be applied, and those of grey."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import image_files
import numpy as np
import pytest
from PIL import Image

from genkit.images import decode, encode, losses

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def png(samples: Any, color_type: int, profile: bytes) -> bytes:
    return image_files.png(samples, color_type, (b"iCCP", b"p\0\0" + zlib.compress(profile)))


def grey_profile(gamma: float = 1.0) -> bytes:
    """A profile of grey, version 2, with a gamma."""
    curve = struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256)) + bytes(2)
    white = struct.pack(">4sI3i", b"XYZ ", 0, 63190, 65536, 54061)
    start = 128 + 4 + 24
    tags = struct.pack(">I4sII", 2, b"kTRC", start, 14)
    tags += struct.pack(">4sII", b"wtpt", start + 16, 20)
    size = start + 16 + 20
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x", size, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp",
        63190, 65536, 54061,
    )  # fmt: skip
    return head + tags + curve + white


class TestUnusable:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (png(PIXELS, 2, image_files.srgb_profile(broken=True)), "cannot build transform"),
            (png(PIXELS[..., 0], 0, image_files.srgb_profile()), "it is for RGB colours"),
            (png(PIXELS, 2, grey_profile()), "it is for GRAY colours"),
            (png(PIXELS, 2, b"not a profile"), ""),
            (png(PIXELS[..., 0], 0, grey_profile().replace(b"curv", b"junk")), ""),
        ],
    )
    def test_it_is_told_and_no_reason_to_fail(self, data: bytes, reason: str) -> None:
        picture = decode(data)
        (note,) = picture.notes
        assert note.startswith("its colour profile is ignored, for it cannot be applied: ")
        assert reason in note
        assert "\n" not in note
        assert picture.profile is None
        np.testing.assert_array_equal(picture.srgb(), decode(encode(picture, "png")).srgb())

    def test_a_profile_that_does_not_unpack(self) -> None:
        picture = decode(image_files.png(PIXELS, 2, (b"iCCP", b"p\0\0junk")))
        assert "its colour profile cannot be read" in losses(picture, "png")[0]

    def test_no_change_of_a_profile_escapes(self) -> None:
        random = np.random.default_rng(1)
        profile = image_files.srgb_profile().replace(b"\0s\0R\0G\0B", b"\0c\0a\0m\0X")
        for _ in range(300):
            data = bytearray(profile)
            for at in random.integers(0, len(data), 3):
                data[at] = random.integers(256)
            picture = decode(png(PIXELS, 2, bytes(data)))
            picture.with_srgb(picture.srgb())


class TestGrey:
    def test_its_profile_is_applied_and_kept(self) -> None:
        grey = PIXELS[..., 0]
        picture = decode(png(grey, 0, grey_profile()))
        assert (picture.profile, picture.notes) == (grey_profile(), ())
        np.testing.assert_array_equal(picture.pixels, grey)
        linear = grey / 255
        expected = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        bright = grey > 40  # below, one level of linear light is several of sRGB
        assert np.abs(picture.srgb()[..., 0] - expected * 255)[bright].max() < 2
        back = picture.like_own(picture.srgb()).astype(int)
        assert np.abs(back - grey)[bright].max() <= 1

    def test_a_webp_and_colour_have_no_place_for_it(self) -> None:
        picture = decode(png(PIXELS[..., 0], 0, grey_profile()))
        assert decode(encode(picture, "webp")).profile is None
        coloured = picture.with_srgb(PIXELS)
        assert coloured.profile is None
        np.testing.assert_array_equal(coloured.pixels, PIXELS)

    def test_jpeg_and_tiff_keep_it(self) -> None:
        picture = decode(png(PIXELS[..., 0], 0, grey_profile()))
        for kind in ("jpeg", "tiff"):
            data = encode(picture, kind)
            assert Image.open(io.BytesIO(data)).info["icc_profile"] == grey_profile()
