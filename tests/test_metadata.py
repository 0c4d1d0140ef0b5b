"""What a file says beside its pixels, from every format into every other."""

from __future__ import annotations

import io
import zlib
from typing import Any

import image_files
import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from genkit.images import Picture, decode, encode, losses

FORMATS = ("png", "jpeg", "webp", "tiff")
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
COPYRIGHT = "© Müller".encode().decode("latin-1")  # Pillow reads texts of EXIF as Latin-1
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"><dc:creator>me</dc:creator>\
<xmp:Thumbnails>old</xmp:Thumbnails></x:xmpmeta>'
IPTC = b"\x1c\x02\x74\0\x04mine"


def exif(orientation: int = 6) -> Image.Exif:
    """EXIF with a thumbnail, a maker's note, a copyright and a place."""
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = orientation
    found[ExifTags.Base.Copyright] = "© Müller".encode()
    found[ExifTags.Base.DateTime] = "2024:01:02 03:04:05"
    found[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05",
        ExifTags.Base.MakerNote: b"secret" * 9,
        ExifTags.Base.ExifImageWidth: 36,
        ExifTags.Base.ExifImageHeight: 24,
    }
    found[ExifTags.IFD.GPSInfo] = {
        ExifTags.GPS.GPSLatitudeRef: "N",
        ExifTags.GPS.GPSLatitude: (1.0, 2.0, 3.0),
    }
    return found


def file(kind: str, array: Any = PIXELS, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(out, kind.upper(), **options)
    return out.getvalue()


def source(kind: str, **options: Any) -> bytes:
    options = {"exif": exif(), "dpi": (300, 200), **options}
    if kind == "webp":
        found = options["exif"]
        found[282], found[283], found[296] = 300.0, 200.0, 2
    options["exif"] = options["exif"].tobytes()
    return file(kind, **options)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_exif_and_resolution(kind: str, other: str) -> None:
    picture = decode(source(kind))
    assert picture.size == (36, 24)
    assert losses(picture, other) == ()
    data = encode(picture, other)
    assert b"secret" not in data
    image = Image.open(io.BytesIO(data))
    image.load()
    found = image.getexif()
    assert found.get(ExifTags.Base.Orientation, 1) == 1
    written = "?? M??ller" if kind == "tiff" else COPYRIGHT  # by Pillow, into the source
    assert found[ExifTags.Base.Copyright] == written
    assert found[ExifTags.Base.DateTime] == "2024:01:02 03:04:05"
    inner = found.get_ifd(ExifTags.IFD.Exif)
    assert inner[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (1.0, 2.0, 3.0)
    dpi = image.info.get("dpi") or (found[282], found[283])
    np.testing.assert_allclose([float(n) for n in dpi], (200, 300), rtol=1e-3)  # it was turned
    again = decode(data)
    assert again.size == (36, 24)
    np.testing.assert_array_equal(again.pixels.shape, picture.pixels.shape)


def test_a_thumbnail_of_the_old_picture_is_left_out() -> None:
    found = exif(1)
    found.get_ifd(ExifTags.IFD.IFD1).update({513: 0, 514: 4})
    thumbnail = file("jpeg", PIXELS[:4, :4])
    data = file("jpeg", exif=found.tobytes() + thumbnail)
    assert thumbnail in data
    for kind in FORMATS:
        assert thumbnail not in encode(decode(data), kind)


def test_texts_of_a_png() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Author", "Zoë")
    chunks.add_text("Comment", "once")
    chunks.add_text("Long", "a" * 2_000_000, zip=True)  # Pillow refuses more than 1,048,576
    chunks.add_itxt("Title", "Zażółć", lang="pl", tkey="Tytuł")
    data = file("png", pnginfo=chunks)
    picture = decode(data)
    for kind in ("png", "png"):
        again = decode(encode(picture, kind))
        assert again.metadata.texts == picture.metadata.texts
        picture = again
    with Image.open(io.BytesIO(encode(picture, "png"))) as image:
        assert len(image.text["Long"]) == 2_000_000  # it is not packed, and Pillow reads it
    assert [text.key for text in picture.metadata.texts] == ["Author", "Comment", "Long", "Title"]
    assert losses(picture, "png") == ()
    assert losses(picture, "jpeg") == ("a JPEG cannot hold its text 'Long', text 'Title'",)
    image = Image.open(io.BytesIO(encode(picture, "jpeg")))
    assert image.info["comment"] == b"once"
    assert image.getexif()[ExifTags.Base.Artist].encode("latin-1") == "Zoë".encode()


def test_deep_files_have_the_same_chunks() -> None:
    deep = Picture(PIXELS.astype(np.uint16) * 257, metadata=decode(source("png")).metadata)
    for kind in ("png", "tiff"):
        again = decode(encode(deep, kind))
        assert again.is_deep
        assert again.metadata.exif is not None
        np.testing.assert_allclose(again.metadata.dpi, (200, 300), rtol=1e-3)


def test_a_long_profile() -> None:
    profile = image_files.srgb_profile() + bytes(1_500_000)
    data = image_files.png(PIXELS, 2, (b"iCCP", b"p\0\0" + zlib.compress(profile)))
    picture = decode(data)
    assert picture.profile == profile
    assert decode(encode(picture, "png")).profile == profile


def test_a_text_without_end_is_left_out() -> None:
    packed = zlib.compress(bytes(70 << 20))
    picture = decode(image_files.png(PIXELS, 2, (b"zTXt", b"Bomb\0\0" + packed)))
    assert picture.metadata.texts == ()
    assert losses(picture, "png") == ("its text cannot be read (more than 64 MB) and is left out",)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_xmp(kind: str, other: str) -> None:
    options: dict[str, Any] = {"xmp": XMP}
    if kind == "png":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif kind == "tiff":
        options = {"tiffinfo": {700: XMP}}
    picture = decode(file(kind, **options))
    again = decode(encode(picture, other)).metadata.xmp
    assert again is not None
    assert b"<dc:creator>me</dc:creator>" in again
    assert b"Thumbnails" not in again
    assert b"Orientation" not in again


def test_iptc() -> None:
    block = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + bytes(len(IPTC) % 2)
    body = b"Photoshop 3.0\0" + block
    data = file("jpeg", extra=b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body)
    picture = decode(data)
    for kind in ("jpeg", "tiff"):
        assert decode(encode(picture, kind)).metadata.iptc == IPTC
    assert losses(picture, "webp") == ("a WebP cannot hold its IPTC",)


def test_a_comment() -> None:
    picture = decode(file("jpeg", comment=b"hello"))
    assert decode(encode(picture, "jpeg")).metadata.comment == b"hello"
    (text,) = decode(encode(picture, "png")).metadata.texts
    assert (text.key, text.value) == ("Comment", "hello")


def test_what_is_too_long_for_a_jpeg_is_told() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Comment", "a" * 70_000)
    picture = decode(file("png", pnginfo=chunks))
    assert losses(picture, "jpeg") == ("a JPEG cannot hold its comment",)
    assert decode(encode(picture, "jpeg")).metadata.comment is None


def test_gamma_stays_in_a_png() -> None:
    data = image_files.png(PIXELS, 2, (b"gAMA", (100000).to_bytes(4, "big")))
    picture = decode(data)
    assert Image.open(io.BytesIO(encode(picture, "png"))).info["gamma"] == 1.0


def test_broken_exif_is_told_and_no_reason_to_fail() -> None:
    picture = decode(file("jpeg", exif=b"Exif\0\0nonsense"))
    assert encode(picture, "jpeg")


@pytest.mark.parametrize("kind", FORMATS)
def test_without_metadata(kind: str) -> None:
    picture = decode(source("jpeg", comment=b"x", xmp=XMP))
    image = Image.open(io.BytesIO(encode(picture.without_metadata(), kind)))
    assert not {"exif", "xmp", "comment", "XML:com.adobe.xmp"} & image.info.keys()
    assert ExifTags.Base.Copyright not in image.getexif()
    assert image.info.get("dpi", (1, 1)) in ((1, 1), (72, 72))
