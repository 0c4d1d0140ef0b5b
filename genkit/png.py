"""PNG beyond what Pillow does: long texts and profiles, and sixteen bits a channel.

Pillow refuses texts and profiles that unpack to more than a megabyte, and has no mode for
sixteen bits in colour. Source: PNG specification, third edition (W3C, 2025).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from genkit.pixels import Samples

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Extras", "Text", "deep_samples", "split", "with_samples"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
COLORS = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
"""Chunks that say what the colours of the pixels are, other than a profile."""
MOST_UNPACKED = 64 << 20
"""Bytes of a text or a profile: larger ones are left out, for a small file can claim any size."""
STRIP = 1 << 24
"""Bytes that are filtered at a time."""
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> colour type."""


@dataclass(frozen=True)
class Text:
    """A text chunk."""

    key: str
    value: str
    language: str = ""
    translated: str = ""
    """The key in that language."""
    international: bool = False
    """It was an iTXt chunk."""


@dataclass
class Extras:
    """What ``split`` took out of a file, and what it saw on the way."""

    depth: int = 8
    color_type: int = 2
    texts: list[Text] = field(default_factory=list)
    profile: bytes | None = None
    colors: list[tuple[bytes, bytes]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What could not be read of it, for people."""
    foreign: str | None = None
    """What it is if it is no PNG that others could read."""


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The type of each chunk, and where its contents begin and end; stops where one is cut off."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            return
        yield data[at + 4 : at + 8], at + 8, at + 8 + length
        at += 12 + length


def split(data: bytes) -> tuple[bytes, Extras]:
    """A file without its texts and its profile, which Pillow would bound, and these."""
    extras, rest, done = Extras(), [], 0
    for kind, start, end in chunks(data):
        body = data[start:end]
        if kind == b"CgBI":
            extras.foreign = "a PNG for Apple's devices (CgBI), not a standard one"
        elif kind == b"IHDR" and len(body) == 13:
            extras.depth, extras.color_type = body[8], body[9]
        elif kind in COLORS:
            extras.colors.append((kind, body))
        if kind not in TEXTS and kind != b"iCCP":
            continue
        rest.append(data[done : start - 8])
        done = end + 4
        try:
            if kind == b"iCCP":
                extras.profile = _unpacked(body.split(b"\0", 1)[1][1:])
            else:
                extras.texts.append(_text(kind, body))
        except (ValueError, IndexError, zlib.error) as error:
            what = "colour profile" if kind == b"iCCP" else "text"
            extras.problems.append(f"its {what} cannot be read ({error}) and is left out")
    if not rest:
        return data, extras
    return b"".join([*rest, data[done:]]), extras


def deep_samples(image: Image.Image, data: bytes, extras: Extras, opener: Any) -> Samples:
    """The samples of a PNG of sixteen bits, (H, W) or (H, W, C), which Pillow loaded as ``image``.

    Pillow keeps one of the two bytes of a sample. Which one depends on the layout that it is
    told, so the file is read a second time for the other; or, where a pixel has four bytes or
    two, as a picture of so many channels of eight bits. Raises what Pillow raises.
    """
    if extras.color_type in (0, 4):
        kind = {0: 4, 4: 6}[extras.color_type]
        head = data[12:24] + bytes([8, kind]) + data[26:29]
        bytewise = opener(io.BytesIO(data[:12] + head + _crc(head) + data[33:]), "")
        bytewise.load()
        pairs = np.asarray(bytewise)
        each = pairs.reshape(*pairs.shape[:2], -1, 2).view(">u2").astype(np.uint16)[..., 0]
        return each[..., 0] if extras.color_type == 0 else each
    again = opener(io.BytesIO(data), "")
    again.tile = [tile._replace(args=tile.args.replace("16B", "16L")) for tile in again.tile]
    again.load()
    high, low = (np.asarray(half).astype(np.uint16) for half in (image, again))
    result: Samples = (high << 8) | low
    return result


def with_samples(frame: bytes, samples: Samples, level: int) -> bytes:
    """A PNG of sixteen bits with samples (H, W) or (H, W, C) in place of those of ``frame``, a
    PNG that has all the other chunks.
    """
    samples = samples if samples.ndim == 3 else samples[..., None]
    height, width, channels = samples.shape
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, KINDS[channels], 0, 0, 0)
    parts, written = [SIGNATURE, _chunk(head)], False
    for kind, start, end in chunks(frame):
        if kind == b"IDAT":
            parts += [] if written else map(_chunk, _packed(samples, level))
            written = True
        elif kind != b"IHDR":
            parts.append(frame[start - 8 : end + 4])
    return b"".join(parts)


def _packed(samples: Samples, level: int) -> Iterator[bytes]:
    """IDAT chunks: each row as the difference to its left neighbours or to the row above it,
    whichever has the smaller differences.
    """
    height, width, channels = samples.shape
    packer = zlib.compressobj(level)
    rows = max(STRIP // (width * channels * 2), 1)
    above = np.zeros((1, width * channels * 2), np.uint8)
    for top in range(0, height, rows):
        block = samples[top : top + rows].astype(">u2")
        raw = block.view(np.uint8).reshape(len(block), -1)
        step = 2 * channels
        left = raw.copy()
        left[:, step:] -= raw[:, :-step]
        up = raw - np.concatenate([above, raw[:-1]])
        above = raw[-1:]
        cost = [
            np.abs(part.view(np.int8).astype(np.int16)).sum(1, dtype=np.int64)
            for part in (left, up)
        ]
        upper = cost[1] < cost[0]
        lines = np.empty((len(raw), raw.shape[1] + 1), np.uint8)
        lines[:, 0] = np.where(upper, 2, 1)
        lines[:, 1:] = np.where(upper[:, None], up, left)
        if packed := packer.compress(lines.tobytes()):
            yield b"IDAT" + packed
    yield b"IDAT" + packer.flush()


def _chunk(body: bytes) -> bytes:
    return struct.pack(">I", len(body) - 4) + body + _crc(body)


def _crc(body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(body))


def _text(kind: bytes, body: bytes) -> Text:
    key, rest = body.split(b"\0", 1)
    name = key.decode("latin-1")
    if kind == b"tEXt":
        return Text(name, rest.decode("latin-1"))
    if kind == b"zTXt":
        return Text(name, _unpacked(rest[1:]).decode("latin-1"))
    packed, (language, translated, value) = rest[0], rest[2:].split(b"\0", 2)
    value = _unpacked(value) if packed else value
    return Text(name, value.decode(), language.decode("latin-1"), translated.decode(), True)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(data, MOST_UNPACKED)
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {MOST_UNPACKED >> 20} MB")
    return result
