"""Pictures in every mode and format, and every refusal."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from table_profile import cmyk_profile, scanner_profile

from genkit.errors import InputError
from genkit.images import (
    Picture,
    composite,
    decode,
    encode,
    fill_hidden,
)
from genkit.pixels import to_bytes

FORMATS = ("png", "jpeg", "webp", "tiff")


def scene(height: int = 24, width: int = 36) -> np.ndarray[Any, Any]:
    """A smooth picture, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, 255 - (x + y) * 255 / (height + width)]
    return np.stack(channels, -1).astype(np.uint8)


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def image(array: Any, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.asarray(array, np.uint8)).convert(mode)


def far(a: Any, b: Any) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


class TestModes:
    def test_rgb(self) -> None:
        picture = decode(file(image(scene())))
        assert (picture.size, picture.format) == ((24, 36), "png")
        assert picture.alpha is None
        assert picture.profile is None
        np.testing.assert_array_equal(picture.pixels, scene())

    def test_grey(self) -> None:
        grey = scene()[..., 0]
        picture = decode(file(image(grey, "L")))
        np.testing.assert_array_equal(picture.pixels, grey)
        np.testing.assert_array_equal(picture.srgb(), np.dstack([grey] * 3))

    def test_black_and_white(self) -> None:
        picture = decode(file(image(scene()).convert("1")))
        assert set(np.unique(picture.pixels)) == {0, 255}

    def test_sixteen_bits_stay_and_are_rounded_for_networks(self) -> None:
        values = np.array([[0, 128, 129, 257, 385, 386, 511, 65535]], np.uint16)
        picture = decode(file(Image.fromarray(values)))
        np.testing.assert_array_equal(picture.pixels, values)
        assert picture.srgb()[0, :, 0].tolist() == [0, 0, 1, 1, 1, 2, 2, 255]

    def test_sixteen_bits_of_a_tiff(self) -> None:
        values = np.full((4, 5), 65535, np.uint16)
        assert decode(file(Image.fromarray(values), "TIFF")).pixels.min() == 65535

    def test_palette(self) -> None:
        source = image(scene()).quantize(16)
        picture = decode(file(source))
        np.testing.assert_array_equal(picture.pixels, np.asarray(source.convert("RGB")))
        assert picture.alpha is None

    def test_palette_with_a_transparent_colour(self) -> None:
        source = image(scene()).quantize(4)
        picture = decode(file(source, transparency=2))
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha == 0, np.asarray(source) == 2)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_alpha(self, mode: str) -> None:
        source = image(scene(), mode)
        alpha = scene()[..., 1]
        source.putalpha(Image.fromarray(alpha))
        picture = decode(file(source))
        np.testing.assert_array_equal(picture.alpha, alpha)
        np.testing.assert_array_equal(picture.srgb(), np.asarray(source.convert("RGB")))

    def test_grey_with_a_transparent_value(self) -> None:
        picture = decode(file(image([[5, 9]], "L"), transparency=9))
        assert picture.alpha is not None
        assert picture.alpha.tolist() == [[255, 0]]

    def test_sixteen_bits_with_a_transparent_value(self) -> None:
        source = Image.fromarray(np.array([[300, 40000]], np.uint16))
        picture = decode(file(source, transparency=300))
        assert picture.alpha is not None
        assert picture.alpha.tolist() == [[0, 65535]]

    def test_cmyk(self) -> None:
        white = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
        red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
        assert decode(file(white, "JPEG")).pixels.min() >= 254
        assert far(decode(file(red, "JPEG", quality=100)).pixels[0, 0], (255, 0, 0)) <= 3

    @pytest.mark.parametrize("mode", ["I", "F"])
    def test_thirty_two_bits_are_refused(self, mode: str) -> None:
        with pytest.raises(InputError, match="32 bits a channel; 8 and 16 are supported"):
            decode(file(Image.new(mode, (3, 3)), "TIFF"))

    def test_gif(self) -> None:
        picture = decode(file(image(scene()).quantize(256), "GIF"))
        assert picture.format == "gif"
        assert far(picture.pixels, scene()) < 32


class TestOrientation:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_a_picture_comes_upright(self, kind: str) -> None:
        upright = image(scene())
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        turned = upright.transpose(Image.Transpose.ROTATE_90)
        options = {"lossless": True} if kind == "WEBP" else {}
        picture = decode(file(turned, kind, exif=exif, **options))
        assert picture.size == (24, 36)
        assert far(picture.pixels, scene()) < (40 if kind == "JPEG" else 1)

    def test_broken_exif_is_no_reason_to_fail(self) -> None:
        data = file(image(scene()), "JPEG", exif=b"Exif\0\0nonsense")
        assert decode(data).size == (24, 36)


class TestProfiles:
    def profile(self) -> bytes:
        """Wide colours: a profile made from sRGB's, with red and blue exchanged."""
        data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        tags = {
            bytes(data[i : i + 4]): int.from_bytes(data[i + 4 : i + 8], "big")
            for i in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12)
        }
        red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
        data[red : red + 20], data[blue : blue + 20] = (
            data[blue : blue + 20],
            data[red : red + 20],
        )
        return bytes(data).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))

    @pytest.mark.parametrize("kind", FORMATS)
    def test_colours_become_srgb_and_go_back(self, kind: str) -> None:
        profile = self.profile()
        options = {"lossless": True} if kind == "webp" else {"quality": 100}
        picture = decode(file(image(scene()), kind.upper(), icc_profile=profile, **options))
        assert picture.profile == profile
        assert far(picture.srgb(), scene()[..., ::-1]) < 12
        back = picture.with_srgb(picture.srgb())
        assert far(back.pixels, picture.pixels) <= 2
        assert decode(encode(back, kind)).profile == profile

    def test_srgb_stays_bit_for_bit(self) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        picture = decode(file(image(scene()), icc_profile=profile))
        np.testing.assert_array_equal(picture.srgb(), scene())
        np.testing.assert_array_equal(picture.with_srgb(scene()).pixels, scene())
        assert picture.with_srgb(scene()).profile == profile

    @pytest.mark.parametrize("tags", [(b"A2B0", b"A2B1"), (b"A2B1",), (b"A2B0",)])
    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_inks_have_the_colours_that_their_profile_says(
        self, kind: str, tags: tuple[bytes, ...]
    ) -> None:
        inks = Image.new("CMYK", (24, 8), (0, 0, 0, 0))
        inks.paste((255, 0, 0, 0), (8, 0, 16, 8))
        inks.paste((0, 0, 0, 255), (16, 0, 24, 8))
        picture = decode(file(inks, kind, icc_profile=cmyk_profile(*tags), quality=100))
        white, pink, black = picture.pixels[4, 4::8]
        assert white.min() >= 253
        assert far(pink, (255, 119, 176)) <= 3  # Lab 71, 62, 0, as far as sRGB has it
        assert black.max() <= 2
        assert picture.profile is None  # what is written is RGB

    @pytest.mark.parametrize("tags", [(b"A2B0", b"A2B1"), (b"A2B0",)])
    def test_colours_from_which_there_is_no_way_back_become_srgb(
        self, tags: tuple[bytes, ...]
    ) -> None:
        source = image([[[0, 255, 0], [255, 0, 255]]], "RGBA")
        source.putalpha(Image.new("L", source.size, 77))
        picture = decode(file(source, icc_profile=scanner_profile(*tags)))
        assert far(picture.pixels, [[[255] * 3, [0] * 3]]) <= 1
        assert picture.profile is None
        assert picture.alpha is not None
        assert picture.alpha.tolist() == [[77, 77]]

    def test_a_broken_profile_is_ignored(self) -> None:
        picture = decode(file(image(scene()), icc_profile=b"not a profile"))
        assert picture.profile is None
        np.testing.assert_array_equal(picture.srgb(), scene())

    def test_a_profile_for_other_channels_is_ignored(self) -> None:
        assert decode(file(image(scene(), "L"), icc_profile=self.profile())).profile is None


class TestRefusals:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_truncated_file(self, kind: str, share: float) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
        data = file(image(noise), kind)
        with pytest.raises(InputError, match=r"^(truncated|broken) [A-Za-z]+ \(.+\)$") as caught:
            decode(data[: int(len(data) * share)])
        assert "\n" not in caught.value.message

    def test_a_truncated_jpeg_is_called_so(self) -> None:
        data = file(image(scene(64, 64)), "JPEG")
        with pytest.raises(InputError, match=r"^truncated JPEG \(image file is truncated"):
            decode(data[:-300])

    @pytest.mark.parametrize("data", [b"GIF8", b"\xff\xd8\xff\xe0", b"II*\0\xff\xff\xff\xff"])
    def test_a_file_that_only_begins_like_a_picture(self, data: bytes) -> None:
        with pytest.raises(InputError, match=r"^(truncated|broken) "):
            decode(data)

    def test_an_empty_file(self) -> None:
        with pytest.raises(InputError, match=r"^is empty$"):
            decode(b"")

    @pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7", b"BM" + bytes(60)])
    def test_another_kind_of_file(self, data: bytes) -> None:
        with pytest.raises(InputError, match="is not a PNG, JPEG, WebP, TIFF or GIF picture"):
            decode(data)

    @pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF"])
    def test_a_bomb_is_refused_before_it_is_decoded(self, kind: str) -> None:
        data = file(Image.new("L", (20_000, 10_000)), kind)
        with pytest.raises(InputError, match=r"20000 x 10000 pixels, more than .* 150,000,000"):
            decode(data)

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_several_frames(self, kind: str) -> None:
        frames = [image(scene()), image(255 - scene()), image(scene() // 2)]
        data = file(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(InputError, match="has 3 frames or pages"):
            decode(data)

    def test_the_preview_in_a_photograph_is_not_another_frame(self) -> None:
        data = file(image(scene()), "MPO", save_all=True, append_images=[image(scene())])
        assert decode(data).size == (24, 36)

    def test_sizes_that_a_format_cannot_hold(self) -> None:
        wide = Picture(np.zeros((1, 70_000, 3), np.uint8))
        for kind in ("jpeg", "webp"):
            with pytest.raises(InputError, match="70000 x 1 pixels cannot be written as "):
                encode(wide, kind)


class TestEncode:
    @pytest.mark.parametrize("kind", ["png", "tiff"])
    def test_lossless_formats_return_every_bit(self, kind: str) -> None:
        picture = Picture(scene(), scene()[..., 2])
        back = decode(encode(picture, kind))
        np.testing.assert_array_equal(back.pixels, picture.pixels)
        np.testing.assert_array_equal(back.alpha, picture.alpha)
        assert back.format == kind

    def test_quality(self) -> None:
        noise = Picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
        for kind in ("jpeg", "webp"):
            assert len(encode(noise, kind, 20)) < len(encode(noise, kind))

    def test_webp_keeps_alpha(self) -> None:
        back = decode(encode(Picture(scene(), scene()[..., 2]), "webp"))
        np.testing.assert_array_equal(back.alpha, scene()[..., 2])

    def test_jpeg_lays_what_is_transparent_on_white(self) -> None:
        picture = Picture(np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 51, np.uint8))
        assert far(decode(encode(picture, "jpeg")).pixels, 204) <= 1


class TestColours:
    def test_bytes_are_rounded_and_clipped(self) -> None:
        values = np.array([-3.0, 0.49, 0.51, 127.6, 254.4, 300.0])
        assert to_bytes(values).tolist() == [0, 0, 1, 128, 254, 255]

    def test_composite(self) -> None:
        pixels = np.array([[[0, 100, 255]]], np.uint8)
        assert composite(pixels, np.array([[0]], np.uint8)).tolist() == [[[255] * 3]]
        assert composite(pixels, np.array([[255]], np.uint8)).tolist() == pixels.tolist()
        assert composite(pixels, np.array([[51]], np.uint8), 0).tolist() == [[[0, 20, 51]]]

    def test_hidden_colours_do_not_count(self) -> None:
        pixels = np.array([[[10, 0, 0], [20, 0, 0], [0, 255, 0]]], np.uint8)
        filled = fill_hidden(pixels, np.array([[255, 1, 0]], np.uint8))
        assert filled.tolist() == [[[10, 0, 0], [20, 0, 0], [15, 0, 0]]]
        assert fill_hidden(pixels, None) is pixels
        assert fill_hidden(pixels, np.zeros((1, 3), np.uint8)).tolist() == [[[128] * 3] * 3]

    def test_alpha_follows_a_new_size(self) -> None:
        picture = Picture(scene(), np.full((24, 36), 77, np.uint8))
        result = picture.with_srgb(scene(12, 18))
        assert result.alpha is not None
        assert (result.alpha.shape, set(result.alpha.ravel())) == ((12, 18), {77})
