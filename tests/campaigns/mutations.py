"""Damaged inputs: bytes that were files and texts once."""

from __future__ import annotations

import io
import random

INTERESTING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one to eight changes: bits, whole bytes, runs doubled, taken out or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        kind = rng.randrange(6)
        length = min(rng.choice((1, 2, 4, 16, 256)), len(changed) - at)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.choice(INTERESTING)
        elif kind == 2:
            changed[at : at + length] = rng.randbytes(length)
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            del changed[at : at + length]
        else:
            del changed[at:]
    return bytes(changed)


def pictures(rng: random.Random) -> dict[str, bytes]:
    """Small sound pictures of the kinds that people have, by suffix and kind."""
    import numpy as np
    from PIL import Image

    pixels = np.frombuffer(rng.randbytes(40 * 36 * 4), np.uint8).reshape(40, 36, 4)
    image = Image.fromarray(pixels, "RGBA")
    found = {}
    for name, mode, options in (
        ("rgba.png", "RGBA", {}),
        ("rgb.png", "RGB", {"dpi": (72, 72)}),
        ("grey.png", "L", {}),
        ("palette.png", "P", {}),
        ("bilevel.png", "1", {}),
        ("rgb.jpg", "RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
        ("cmyk.jpg", "CMYK", {}),
        ("rgba.webp", "RGBA", {}),
        ("rgb.tif", "RGB", {"compression": "tiff_lzw"}),
        ("palette.gif", "P", {}),
        ("rgb.bmp", "RGB", {}),
    ):
        file = io.BytesIO()
        image.convert("RGB").convert(mode).save(file, pillow_format(name), **options)
        found[name] = file.getvalue()
    for name, dtype, suffix in (("deep.png", np.uint16, "PNG"), ("deep.tif", np.uint16, "TIFF")):
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0].astype(dtype) * 257).save(file, suffix)
        found[name] = file.getvalue()
    return found


def pillow_format(name: str) -> str:
    suffix = name.rsplit(".")[-1].upper()
    return {"JPG": "JPEG", "TIF": "TIFF"}.get(suffix, suffix)


WORDS = (
    "Good morning. I am tired. {name} %d %1$s <b>dog</b> &amp; https://example.org/a?b=c#d "
    "`code` C:\\x\\y.txt -5 1,234.50 € 😀👍🏽 ﬁsh \u00ad\u200b\ufeff\u202e 猫 שלום [MASK] ___ </s> "
    "<unk> \x1b[31m \x00 \t \r NASA THE DOG Mr. e.g. 3.14 - * # > | \u2028 \u0301 @1 @2 [MASK] ___"
).split(" ")


def line(rng: random.Random) -> bytes:
    """A line of odd text, now and then no UTF-8."""
    words = rng.choices(WORDS, k=rng.choice((0, 1, 3, 8, 20, 60)))
    data = " ".join(words).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        data = mutate(data, rng)
    return data.replace(b"\n", b" ")
