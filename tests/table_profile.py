"""Profiles that are tables, as small as can be: no free one of a real press is at hand."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

Corner = tuple[int, ...]
D50 = (63190, 65536, 54061)


def cmyk_profile(*tags: bytes) -> bytes:
    """A printer's profile under which cyan ink is pink and black ink is black; the two others do
    not show.
    """

    def lab(inks: Corner) -> bytes:
        cyan, _, _, black = inks
        return bytes([0, 128, 128] if black else [180, 190, 128] if cyan else [255, 128, 128])

    return _profile(b"prtrCMYK", 4, lab, tags)


def scanner_profile(*tags: bytes) -> bytes:
    """A scanner's profile under which green is white and the two others do not show. There is no
    way back from it: it has no table from colours to what the scanner sees.
    """
    return _profile(b"scnrRGB ", 3, lambda rgb: bytes([255 * rgb[1], 128, 128]), tags)


def _profile(
    kind: bytes, channels: int, lab: Callable[[Corner], bytes], tags: tuple[bytes, ...]
) -> bytes:
    """An ICC profile, version 2. ``tags`` are those that its table stands in: A2B0 for the
    perceptual intent, A2B1 for the colorimetric one.
    """
    blocks = {b"wtpt": struct.pack(">4sI3i", b"XYZ ", 0, *D50)}
    blocks |= dict.fromkeys(tags, _table(channels, lab))
    directory, data = b"", b""
    start = 128 + 4 + 12 * len(blocks)
    for tag, block in blocks.items():
        directory += struct.pack(">4sII", tag, start + len(data), len(block))
        data += block
    size, version = start + len(data), 0x02400000
    header = struct.pack(">I4xI8s4s12x4s28x3i48x", size, version, kind, b"Lab ", b"acsp", *D50)
    return header + struct.pack(">I", len(blocks)) + directory + data


def _table(channels: int, lab: Callable[[Corner], bytes]) -> bytes:
    """A lut8Type: Lab at the corners of the device's colours, straight lines between them."""
    line = bytes(range(256))
    identity = [65536 * (i % 4 == 0) for i in range(9)]
    start = struct.pack(">4sI4B9i", b"mft1", 0, channels, 3, 2, 0, *identity)
    corners = b"".join(map(lab, itertools.product((0, 1), repeat=channels)))
    return start + line * channels + corners + line * 3
