"""What a file is by its first bytes, and why it cannot be read.

A file is named for what it is: "broken" is said only of what should have been readable.
"""

from __future__ import annotations

from genkit.errors import InputError

__all__ = ["diagnosis", "is_lossy", "kind_of_bytes", "label"]

# First bytes -> format. Pillow reads many more, some with decoders that few people ever tested.
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
    (b"GIF8", "gif"),
)
OTHERS = (
    (0, b"BM", "BMP"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"\0\0\x01\0", "icon (ICO)"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance (HDR)"),
    (0, b"II\x55\0", "Panasonic raw (RW2)"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw (RAF)"),
    (0, b"IIRO", "Olympus raw (ORF)"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"<svg", "SVG"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"gimp xcf", "GIMP (XCF)"),
    (0, b"\x8aMNG", "MNG"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypcrx", "Canon raw (CR3)"),
    (4, b"ftyp", "video (MP4)"),
    (0, b"RIFF", "RIFF"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"version https://git-lfs", "Git LFS pointer"),
    (0, b"<!DOCTYPE html", "HTML"),
    (0, b"<html", "HTML"),
)
"""Where, which bytes, and what a file of them is called."""
SIMPLE_NETPBM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF")
LOSSLESS = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)
"""Start-of-frame markers of JPEGs that are lossless or of several layers, and of JPEG-LS."""
FRAMES = (*(0xC0 + i for i in range(16) if i not in (4, 8, 12)), 0xF7)
UNSUPPORTED = ("cannot handle", "not supported", "unsupported", "unknown pixel mode")
"""What Pillow says of files that are sound, but of a kind that it does not read."""


def kind_of_bytes(data: bytes) -> str:
    """The format of a file: png, jpeg, webp, tiff or gif. Raises InputError, which names others."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for start, kind in MAGIC:
        if data.startswith(start):
            return kind
    if not data:
        raise InputError("is empty")
    problem = "is not a PNG, JPEG, WebP, TIFF or GIF picture"
    for at, start, name in OTHERS:
        if data.startswith(start, at):
            raise InputError(
                f"{problem}, but {name}", hint="convert it first, for example with ImageMagick"
            )
    if data[:2] in SIMPLE_NETPBM and data[2:3].isspace():
        raise InputError(
            f"{problem}, but Netpbm", hint="convert it first, for example with ImageMagick"
        )
    raise InputError(problem)


def label(kind: str) -> str:
    """What people call a format."""
    return "WebP" if kind == "webp" else kind.upper()


def is_lossy(data: bytes, kind: str) -> bool:
    """Whether a JPEG, PNG, GIF or WebP holds its pixels only about as they were."""
    at = 12
    while kind == "webp" and at + 8 <= len(data):
        if data[at : at + 4] == b"VP8 ":
            return True
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return kind == "jpeg"


def diagnosis(error: Exception, data: bytes, kind: str) -> InputError:
    """What to say of a file that made a decoder raise an error."""
    reason = " ".join(str(error).split()) or type(error).__name__
    name = label(kind)
    if kind == "jpeg":
        frame = _frame_of_jpeg(data)
        if frame in LOSSLESS:
            return InputError("is a lossless or layered JPEG, which is not supported")
    if any(text in reason.lower() for text in UNSUPPORTED):
        return InputError(f"is a {name} of a kind that is not supported ({reason})")
    cut_short = isinstance(error, EOFError) or "truncated" in reason.lower()
    return InputError(f"{'truncated' if cut_short else 'broken'} {name} ({reason})")


def _frame_of_jpeg(data: bytes) -> int | None:
    """The marker with which the frame of a JPEG starts."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in FRAMES:
            return marker
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
