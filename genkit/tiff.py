"""TIFF beyond what Pillow does: sixteen bits in colour, inks with alpha, Lab; and writing.

Pillow's decoder (libtiff) still unpacks what is compressed: it is given the same strips or
tiles under a directory that calls each byte a pixel. Source: TIFF 6.0 (Adobe, 1992) and its
technical notes.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from genkit.errors import InputError
from genkit.pixels import Samples, upright

__all__ = [
    "Page",
    "choose_page",
    "is_plain",
    "pack",
    "pages",
    "part_of",
    "read_samples",
    "refusal",
]

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
OFFSETS, ORIENTATION, CHANNELS, ROWS, COUNTS, PLANAR = 273, 274, 277, 278, 279, 284
PREDICTOR, COLORS, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 317, 320, 322, 323, 324, 325
SUBFILE, INK_SET, EXTRA, FORMAT, PROFILE = 254, 332, 338, 339, 34675
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, LAB, ICC_LAB = 0, 1, 2, 3, 5, 8, 9
MODES = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, LAB: 3, ICC_LAB: 3}
"""What can be read here -> its channels, without those that are extra."""
UNPACKED = (1, 5, 8, 32946, 32773, 34925, 50000)
"""Compressions that keep bytes as they are: none, LZW, Deflate twice, PackBits, LZMA, Zstandard."""
METHODS = {
    6: "old JPEG", 7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34892: "lossy JPEG", 34887: "LERC", 50002: "JPEG XL", 52546: "JPEG XL", 34713: "Nikon NEF",
}  # fmt: skip
KINDS = {
    6: "YCbCr", 32803: "a camera's raw sensor data", 34892: "a camera's raw sensor data",
    32844: "LogL (high dynamic range)", 32845: "LogLuv (high dynamic range)", 10: "ITU Lab",
}  # fmt: skip
NO_PAGE = 1 | 4
"""Bits of the subfile type: a reduced copy of another page, or its mask."""
ASSOCIATED, UNASSOCIATED = 1, 2
STRIP = 1 << 20
"""Bytes of a strip that is written, about."""


@dataclass(frozen=True)
class Page:
    """What a page holds."""

    values: Samples
    """(H, W, C), uint8 or uint16, upright."""
    photometric: int
    alpha: Samples | None
    """(H, W)."""


def pages(data: bytes) -> list[Any]:
    """The tags of each page, as Pillow reads them."""
    file, found, seen = io.BytesIO(data), [], set()
    tags = _directory(data)
    while tags.next and tags.next not in seen and tags.next < len(data):
        seen.add(tags.next)
        page = _directory(data)
        file.seek(tags.next)
        page.load(file)
        found.append(page)
        tags = page
    return found


def _directory(data: bytes, group: int | None = None) -> Any:
    """An empty directory in the byte order of a file."""
    head = data[:16] if data[2:3] == b"+" or data[3:4] == b"+" else data[:8]
    return TiffImagePlugin.ImageFileDirectory_v2(head, group=group)


def choose_page(found: Sequence[Any]) -> int:
    """Which page is the picture, and not a smaller copy or a mask of it. Raises InputError if
    there are several pictures.
    """
    whole = [i for i, tags in enumerate(found) if not int(tags.get(SUBFILE, 0)) & NO_PAGE]
    if len(whole) > 1 or (len(found) > 1 and not whole):
        raise InputError(
            f"has {len(found)} frames or pages; only single pictures can be used",
            hint="extract its pages first, for example with ImageMagick",
        )
    return whole[0] if whole else 0


def part_of(data: bytes, tags: Any, tag: int) -> dict[int, Any]:
    """The tags in a directory that one tag points to (EXIF, GPS); none if it is not there."""
    if not isinstance(tags.get(tag), int):
        return {}
    file = io.BytesIO(data)
    file.seek(tags[tag])
    part = _directory(data, tag)
    part.load(file)
    return dict(part)


def is_plain(tags: Any) -> bool:
    """Whether Pillow reads a page as it is: eight bits or fewer, in a layout that it knows."""
    bits = _several(tags, BITS, 1)
    return (
        (max(bits) <= 8 or bits == (12,))
        and tags.get(PHOTOMETRIC) not in (LAB, ICC_LAB)
        and not (tags.get(PHOTOMETRIC) == CMYK and len(_several(tags, EXTRA, ())) > 0)
    )


def refusal(tags: Any) -> InputError | None:
    """Why a page cannot be read at all, by its tags; None if nothing is against it."""
    bits, kinds = set(_several(tags, BITS, 1)), set(_several(tags, FORMAT, 1))
    photometric, method = tags.get(PHOTOMETRIC, 0), tags.get(COMPRESSION, 1)
    if photometric in KINDS and photometric != 6:
        return InputError(f"is a TIFF of {KINDS[photometric]}, which is not supported")
    if method in METHODS and method not in (6, 7):
        return InputError(f"is a TIFF compressed by {METHODS[method]}, which is not supported")
    depth = f"{' and '.join(map(str, sorted(bits)))} bits a channel; 8 and 16 are supported"
    if kinds & {3, 5, 6} and max(bits) != 8:
        return InputError(f"has floating-point numbers of {depth}")
    if len(bits) > 1 or max(bits) not in (1, 2, 4, 8, 12, 16):
        return InputError(f"has {depth}")
    if 2 in kinds and max(bits) >= 8:
        return InputError("has signed numbers; unsigned ones of 8 and 16 bits are supported")
    return None


def read_samples(data: bytes, tags: Any, opener: Any) -> Page:
    """The samples of a page of eight or sixteen bits, given its tags. Raises InputError for a kind
    that is not supported, and what Pillow raises.
    """
    photometric = tags.get(PHOTOMETRIC, 0)
    bits = _several(tags, BITS, 1)[0]
    if photometric not in MODES or bits not in (8, 16) or tags.get(INK_SET, 1) != 1:
        what = KINDS.get(photometric, f"an unusual kind ({photometric}, {bits} bits)")
        raise InputError(f"is a TIFF of {what}, which is not supported")
    if tags.get(COMPRESSION, 1) not in UNPACKED:
        method = METHODS.get(tags[COMPRESSION], f"method {tags[COMPRESSION]}")
        raise InputError(f"is a TIFF of {bits} bits compressed by {method}: it is not supported")
    values = _unpack(data, tags, opener, bits // 8)
    known = MODES[photometric]
    extra = _several(tags, EXTRA, ())
    if values.shape[2] < known:
        raise InputError(f"is a broken TIFF: {values.shape[2]} channels are too few")
    colors, alpha, most = values[..., :known], None, (1 << bits) - 1
    if values.shape[2] > known and (not extra or extra[0] in (ASSOCIATED, UNASSOCIATED)):
        alpha = values[..., known]
        if extra and extra[0] == ASSOCIATED:  # colours are multiplied with it
            scaled = colors.astype(np.uint32) * most // np.maximum(alpha, 1)[..., None]
            colors = scaled.clip(0, most).astype(values.dtype)
    if photometric == PALETTE:
        table = np.array(tags[COLORS], np.uint32).reshape(3, -1).T // 257
        colors = table.astype(np.uint8)[colors[..., 0].clip(0, len(table) - 1)]
        if alpha is not None and bits == 16:
            alpha = (alpha >> 8).astype(np.uint8)
    if photometric == WHITE_IS_ZERO:
        colors = most - colors
    turn = tags.get(ORIENTATION, 1)
    return Page(upright(colors, turn), photometric, None if alpha is None else upright(alpha, turn))


def _unpack(data: bytes, tags: Any, opener: Any, size: int) -> Samples:
    """All samples (H, W, C) of ``size`` bytes each, as they are stored."""
    width, height = int(tags[WIDTH]), int(tags[LENGTH])
    channels = int(tags.get(CHANNELS, 1))
    planes = channels if tags.get(PLANAR, 1) == 2 else 1
    tiled = TILE_OFFSETS in tags
    across = int(tags[TILE_WIDTH]) if tiled else width
    down = int(tags[TILE_LENGTH]) if tiled else min(int(tags.get(ROWS, height)), height)
    columns, rows = -(-width // across), -(-height // down)
    offsets = _several(tags, TILE_OFFSETS if tiled else OFFSETS, ())
    counts = _several(tags, TILE_COUNTS if tiled else COUNTS, ())
    if not counts and len(offsets) == 1:
        counts = (len(data) - offsets[0],)
    pixel = channels // planes * size  # bytes
    each = columns * rows
    if len(offsets) < planes * each or len(counts) < planes * each:
        raise InputError("truncated TIFF (parts of it are missing)")
    if max(a + b for a, b in zip(offsets, counts, strict=False)) > len(data):
        raise InputError("truncated TIFF (its data end too early)")
    order = ">" if tags.prefix == b"MM" else "<"
    found = []
    for plane in range(planes):
        part = slice(plane * each, (plane + 1) * each)
        new: dict[int, tuple[int, ...]] = {
            WIDTH: (columns * across * pixel,),
            LENGTH: (rows * down if tiled else height,),
            BITS: (8,),
            COMPRESSION: (tags.get(COMPRESSION, 1),),
            PHOTOMETRIC: (BLACK_IS_ZERO,),
            FILL_ORDER: (tags.get(FILL_ORDER, 1),),
            CHANNELS: (1,),
        }
        if tiled:
            new |= {TILE_WIDTH: (across * pixel,), TILE_LENGTH: (down,)}
            new |= {TILE_OFFSETS: offsets[part], TILE_COUNTS: counts[part]}
        else:
            new |= {ROWS: (down,), OFFSETS: offsets[part], COUNTS: counts[part]}
        image = opener(io.BytesIO(_relabelled(data, new)), "")
        image.load()
        stored: Samples = np.asarray(image)
        values: Samples = stored.reshape(len(stored), -1, size).view(f"{order}u{size}")
        values = values.astype(f"u{size}").reshape(len(stored), columns, across, -1)
        if tags.get(PREDICTOR, 1) == 2:
            values = values.cumsum(2, dtype=values.dtype)
        found.append(values.reshape(len(stored), columns * across, -1)[:height, :width])
    return np.concatenate(found, 2)


def _relabelled(data: bytes, tags: dict[int, tuple[int, ...]]) -> bytes:
    """A file with the same strips or tiles under another directory."""
    start = len(data) + len(data) % 2
    entries, more = b"", b""
    after = start + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(packed) > 4:
            packed, more = struct.pack("<I", after + len(more)), more + packed
        entries += struct.pack("<HHI4s", tag, 4, len(values), packed)
    head = b"II*\0" + struct.pack("<I", start)
    table = struct.pack("<H", len(tags)) + entries + bytes(4) + more
    return b"".join([head, data[8:], bytes(len(data) % 2), table])


def _several(tags: Any, tag: int, default: Any) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def pack(samples: Samples, alpha: bool, tags: dict[int, tuple[int | None, Any]]) -> bytes:
    """A TIFF, compressed by Deflate, of samples (H, W) or (H, W, C) of uint8 or uint16.

    ``alpha`` says that the last channel is one; ``tags`` are more tags with their types (None
    is the usual one).
    """
    samples = samples if samples.ndim == 3 else samples[..., None]
    height, width, channels = samples.shape
    rows = min(max(STRIP // (width * channels * samples.itemsize), 1), height)
    strips = []
    for top in range(0, height, rows):
        block = samples[top : top + rows].astype(samples.dtype.newbyteorder("<"))
        block[:, 1:] = block[:, 1:] - block[:, :-1]  # the predictor
        strips.append(zlib.compress(block.tobytes()))
    own = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for tag, (kind, value) in tags.items():
        if kind is not None:
            own.tagtype[tag] = kind
        own[tag] = value
    ends = np.cumsum([0, *map(len, strips)]).tolist()
    own.tagtype |= {OFFSETS: 4, COUNTS: 4, ROWS: 4, WIDTH: 4, LENGTH: 4}
    plain: dict[int, Any] = {
        WIDTH: width,
        LENGTH: height,
        BITS: (8 * samples.itemsize,) * channels,
        COMPRESSION: 8,
        PHOTOMETRIC: BLACK_IS_ZERO if channels - alpha == 1 else RGB,
        OFFSETS: tuple(ends[:-1]),
        CHANNELS: channels,
        ROWS: rows,
        COUNTS: tuple(map(len, strips)),
        PLANAR: 1,
        PREDICTOR: 2,
    }
    if alpha:
        plain[EXTRA] = (UNASSOCIATED,)
    for tag, value in plain.items():
        own[tag] = value
    file = io.BytesIO()
    own.save(file)
    file.writelines(strips)
    return file.getvalue()
