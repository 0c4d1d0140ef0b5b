"""PNG and TIFF files by hand, in layouts that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import ImageCms

ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Of each pass of an interlaced PNG: first column and row, and steps."""


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def png(
    samples: Any, color_type: int, *extra: tuple[bytes, bytes], interlaced: bool = False
) -> bytes:
    """A PNG of uint8 or uint16 samples (H, W) or (H, W, C)."""
    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    depth = 8 * samples.dtype.itemsize
    data = b""
    for column, row, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = samples[row::down, column::across].astype(samples.dtype.newbyteorder(">"))
        data += b"".join(b"\0" + line.tobytes() for line in part if line.size)
    head = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


def tiff(
    samples: Any,
    photometric: int,
    *,
    order: str = "<",
    extra: Sequence[int] = (),
    planar: bool = False,
    tile: int | None = None,
    predictor: bool = False,
    tags: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """A TIFF of samples (H, W, C), compressed by Deflate, in strips of seven rows or in tiles."""
    samples = np.asarray(samples)
    height, width, channels = samples.shape
    stored = samples.astype(samples.dtype.newbyteorder(order))
    planes = [stored[..., i : i + 1] for i in range(channels)] if planar else [stored]
    parts = []
    for plane in planes:
        rows, columns = tile or 7, tile or width
        if tile:
            plane = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
        for top in range(0, plane.shape[0], rows):
            for left in range(0, plane.shape[1], columns):
                block = plane[top : top + rows, left : left + columns].copy()
                if predictor:
                    native = block.astype(samples.dtype)
                    native[:, 1:] = native[:, 1:] - native[:, :-1]
                    block = native.astype(stored.dtype)
                parts.append(zlib.compress(block.tobytes()))
    starts = np.cumsum([8, *map(len, parts)]).tolist()
    fields: dict[int, Sequence[int]] = {
        256: [width],
        257: [height],
        258: [8 * samples.itemsize] * channels,
        259: [8],
        262: [photometric],
        277: [channels],
        284: [1 + planar],
        317: [1 + predictor],
        **(tags or {}),
    }
    if extra:
        fields[338] = extra
    sizes = list(map(len, parts))
    if tile:
        fields |= {322: [tile], 323: [tile], 324: starts[:-1], 325: sizes}
    else:
        fields |= {273: starts[:-1], 278: [7], 279: sizes}
    at = starts[-1]
    entries, more = b"", b""
    after = at + 2 + 12 * len(fields) + 4
    for tag, values in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > 4:
            packed, more = struct.pack(f"{order}I", after + len(more)), more + packed
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    table = struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + more
    return head + b"".join(parts) + table


def srgb_profile(*, broken: bool = False) -> bytes:
    """A profile of sRGB's colours; broken: under another name and with curves of no known type."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    if not broken:
        return bytes(data)
    for old, new in (("sRGB".encode("utf-16-be"), "camX".encode("utf-16-be")), (b"sRGB", b"camX")):
        data = data.replace(old, new)
    (count,) = struct.unpack_from(">I", data, 128)
    for i in range(count):
        signature, at, _ = struct.unpack_from(">4sII", data, 132 + 12 * i)
        if signature in (b"rTRC", b"gTRC", b"bTRC"):
            data[at : at + 4] = b"junk"
    return bytes(data)
