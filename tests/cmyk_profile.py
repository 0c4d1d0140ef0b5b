"""A profile for CMYK as small as can be: no free one of a real press is at hand."""

from __future__ import annotations

import itertools
import struct


def cmyk_profile(*tags: bytes) -> bytes:
    """An ICC profile (version 2, a printer's) under which cyan ink is pink and black ink is black;
    the two others do not show. ``tags`` are those that its table stands in: A2B0 for the
    perceptual intent, A2B1 for the colorimetric one.
    """
    table = _table()
    blocks = {b"wtpt": struct.pack(">4sI3i", b"XYZ ", 0, 63190, 65536, 54061)}  # D50
    blocks |= dict.fromkeys(tags, table)
    directory, data = b"", b""
    start = 128 + 4 + 12 * len(blocks)
    for tag, block in blocks.items():
        directory += struct.pack(">4sII", tag, start + len(data), len(block))
        data += block
    header = struct.pack(
        ">I4sI4s4s4s12s4s40x3i48x",
        start + len(data),
        b"none",
        0x02400000,
        b"prtr",
        b"CMYK",
        b"Lab ",
        bytes(12),
        b"acsp",
        63190,
        65536,
        54061,
    )
    return header[:128] + struct.pack(">I", len(blocks)) + directory + data


def _table() -> bytes:
    """A lut8Type: Lab at the sixteen corners of CMYK, straight lines between them."""
    line = bytes(range(256))
    identity = [65536 * (i % 4 == 0) for i in range(9)]
    corners = b"".join(
        bytes([0, 128, 128] if black else [180, 190, 128] if cyan else [255, 128, 128])
        for cyan, _, _, black in itertools.product((0, 1), repeat=4)
    )
    start = struct.pack(">4sI4B9i", b"mft1", 0, 4, 3, 2, 0, *identity)
    return start + line * 4 + corners + line * 3
