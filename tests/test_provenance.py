"""What made a result lies in the result: in every format, without a change of its pixels."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genkit.grid import encode_animation
from genkit.images import Picture, decode, encode
from genkit.provenance import differences, embed, extract

PIXELS = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
RECORD = {"task": "sample", "model": "x", "seed": 7, "truncation": 0.5, "class": "Kätzchen" * 60}
KINDS = ["png", "jpeg", "webp", "tiff"]


def still(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind.upper(), **options)
    return file.getvalue()


def seen(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.load()
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("kind", [*KINDS, "gif"])
def test_it_comes_back_and_pixels_stay(kind: str) -> None:
    data = still(kind)
    assert extract(data) is None
    marked = embed(data, RECORD)
    assert extract(marked) == RECORD
    np.testing.assert_array_equal(seen(marked), seen(data))


@pytest.mark.parametrize("kind", KINDS)
def test_files_as_genkit_writes_them(kind: str) -> None:
    alpha = None if kind == "jpeg" else np.arange(13 * 17, dtype=np.uint8).reshape(13, 17)
    marked = embed(encode(Picture(PIXELS, alpha), kind), RECORD)
    back = decode(marked)
    assert back.size == (13, 17)
    if alpha is not None:
        assert back.alpha is not None
        np.testing.assert_array_equal(back.alpha, alpha)


@pytest.mark.parametrize("kind", ["png", "webp", "gif"])
def test_animations(kind: str) -> None:
    frames = [np.roll(PIXELS, i, 0) for i in range(5)]
    data = encode_animation(frames, kind, 20)
    marked = embed(data, RECORD)
    before, after = (Image.open(io.BytesIO(one)) for one in (data, marked))
    assert after.n_frames == before.n_frames == 5  # type: ignore[attr-defined]
    for i in range(5):
        before.seek(i)
        after.seek(i)
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert after.info["duration"] == before.info["duration"]
    assert extract(marked) == RECORD


@pytest.mark.parametrize("kind", [*KINDS, "gif"])
def test_a_new_record_takes_the_place_of_an_old_one(kind: str) -> None:
    marked = embed(embed(still(kind), RECORD), {"seed": 8})
    assert extract(marked) == {"seed": 8}


def test_comments_of_others_stay() -> None:
    marked = embed(still("jpeg", comment=b"mine", dpi=(300, 300)), RECORD)
    image = Image.open(io.BytesIO(marked))
    assert (image.info["comment"], image.info["dpi"]) == (b"mine", (300, 300))
    exif = Image.Exif()
    exif[0x010E] = "a title"
    marked = embed(still("tiff", exif=exif), RECORD)
    assert Image.open(io.BytesIO(marked)).getexif()[0x010E] == "a title"
    assert extract(still("jpeg", comment=b"genkit is a program")) is None


def test_a_big_endian_tiff() -> None:
    tags = [(256, 17), (257, 13), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 13)]
    grey = PIXELS[..., 0].tobytes() + b"\0"
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, n, 0) for tag, n in [*tags, (279, 221)])
    data = b"MM\0*" + struct.pack(">I", 8 + len(grey)) + grey
    data += struct.pack(">H", len(tags) + 1) + entries + bytes(4)
    marked = embed(data, RECORD)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(marked))), PIXELS[..., 0])
    assert extract(marked) == RECORD


@given(st.sampled_from([*KINDS, "gif"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=9))
def test_damaged_files_have_no_record_and_no_traceback(kind: str, at: int, noise: bytes) -> None:
    data = bytearray(MARKED[kind])
    at %= len(data)
    data[at : at + len(noise)] = noise
    assert extract(bytes(data)) is None or isinstance(extract(bytes(data)), dict)
    extract(bytes(data[:at]))


MARKED = {kind: embed(still(kind), {"seed": 7}) for kind in [*KINDS, "gif"]}


class TestDifferences:
    def test_none(self) -> None:
        assert differences(RECORD, dict(RECORD)) == []
        assert differences({"size": (4, 5)}, {"size": [4, 5]}) == []
        assert differences({"genkit": "0.2"}, {"genkit": "0.1"}) == []

    def test_each_is_a_phrase(self) -> None:
        asked = {"model": "wgan", "graphs": "1", "truncation": 0.2, "tile": 64}
        found = {"model": "dcgan", "graphs": "2", "truncation": 1.0, "input": "ab"}
        assert differences(asked, found) == [
            "model dcgan instead of wgan",
            "other weights",
            "truncation 1.0 instead of 0.2",
            "tile none instead of 64",
            "another input",
        ]

    def test_a_precision_counts_if_it_is_asked_for(self) -> None:
        assert differences({"precision": "auto"}, {"precision": "int8"}) == []
        assert differences({"precision": "fp32"}, {"precision": "int8"}) == [
            "precision int8 instead of fp32"
        ]
