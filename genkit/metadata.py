"""What an image file says beside its pixels: EXIF, resolution, texts, XMP and IPTC.

It is read so that it is true of the pixels that come upright, and can be written into a file
of another format. Left out is what would be wrong or telling in a file with other pixels: the
layout of the old file, thumbnails, and the notes of a camera's maker, which hold places in the
old file and previews.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from genkit.png import Text

__all__ = ["Found", "Metadata", "find", "options", "read", "tiff_tags", "unwritable"]

Resolution = tuple[float, float]
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, UNIT = 274, 282, 283, 296
XMP, IPTC, PHOTOSHOP = 700, 33723, 34377
IPTC_BLOCK = 0x0404
"""Of Photoshop's blocks the one with IPTC's texts; another one is a thumbnail."""
LAYOUT = {
    *(*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 301),
    *(*range(317, 326), *range(328, 348), *range(512, 533), XMP, IPTC, PHOTOSHOP, 34675, 37724),
    *(50341, *range(50706, 51200), 59932),
}
"""Tags that are about the file that was read: where its strips are, how they are packed."""
MAKER_NOTE, WIDTH, HEIGHT = 0x927C, 0xA002, 0xA003
SUBDIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
HIDDEN_TEXTS = ("XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1")
"""Texts of a PNG that hold another kind of metadata."""
EXIF_START = b"Exif\0\0"
JPEG_MOST = 65533
"""Bytes of a segment of a JPEG."""
XMP_START, IPTC_START = b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
TEXT_TAGS = {"Description": 270, "Software": 305, "Author": 315, "Copyright": 33432}
"""PNG's keys -> the tags of EXIF and TIFF that mean the same."""
THUMBNAILS = re.compile(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", re.DOTALL)
TURNED = re.compile(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>')
FORMATS = {"png": "a PNG", "jpeg": "a JPEG", "webp": "a WebP", "tiff": "a TIFF"}


@dataclass(frozen=True)
class Metadata:
    """What a file said beside its pixels."""

    exif: bytes | None = None
    """An EXIF block without its ``Exif`` header, for upright pixels."""
    dpi: Resolution | None = None
    """Pixels an inch, across and down."""
    texts: tuple[Text, ...] = ()
    """PNG's."""
    comment: bytes | None = None
    """JPEG's and GIF's."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    """IPTC-IIM records."""
    png_colors: tuple[tuple[bytes, bytes], ...] = ()
    """Chunks of a PNG that say what its colours are: their types and contents."""


@dataclass(frozen=True)
class Found:
    """What a decoder found in a file."""

    tags: Mapping[int, Any]
    """The main directory of EXIF, or that of a TIFF."""
    parts: Mapping[Any, Mapping[Any, Any]]
    """The directories below it."""
    info: Mapping[str, Any]
    """dpi, comment, xmp and iptc, as far as they are known otherwise."""
    texts: tuple[Text, ...] = ()
    turned: bool = False
    """Rows are to become columns."""


def find(image: Any, texts: tuple[Text, ...], turned: bool) -> Found:
    """What Pillow found in a file; raises whatever it stumbles over in EXIF."""
    exif = image.getexif()
    parts: dict[Any, dict[Any, Any]] = {ifd: dict(exif.get_ifd(ifd)) for ifd in SUBDIRECTORIES}
    interop = parts[ExifTags.IFD.Exif].get(ExifTags.IFD.Interop)
    if isinstance(interop, int):
        parts[ExifTags.IFD.Exif][ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
    info = dict(image.info)
    blocks = info.get("photoshop")
    if isinstance(blocks, dict):
        info["iptc"] = blocks.get(IPTC_BLOCK)
    return Found(dict(exif), parts, info, texts, turned)


def read(found: Found) -> Metadata:
    """The metadata of a file as they are true of upright pixels; what cannot be read of them is
    left out.
    """
    dpi = _resolution(found.info.get("dpi")) or _stated(found.tags)
    if dpi is not None and found.turned:
        dpi = dpi[1], dpi[0]
    xmp = _as_bytes(found.info.get("xmp") or found.tags.get(XMP))
    for text in found.texts:
        if text.key == "XML:com.adobe.xmp":
            xmp = text.value.encode()
    return Metadata(
        exif=_rebuilt(found),
        dpi=dpi,
        texts=tuple(text for text in found.texts if text.key not in HIDDEN_TEXTS),
        comment=_as_bytes(found.info.get("comment")),
        xmp=None if xmp is None else TURNED.sub(b"", THUMBNAILS.sub(b"", xmp)),
        iptc=_as_bytes(found.info.get("iptc") or found.tags.get(IPTC)),
    )


def _rebuilt(found: Found) -> bytes | None:
    """An EXIF block of what is true of upright pixels too."""
    new = Image.Exif()
    for tag, value in found.tags.items():
        if tag in LAYOUT or tag in SUBDIRECTORIES:
            continue
        if tag == ORIENTATION:
            value = 1
        if found.turned and tag in (X_RESOLUTION, Y_RESOLUTION):
            value = found.tags.get(X_RESOLUTION + Y_RESOLUTION - tag, value)
        _put(new, tag, value)
    for ifd, tags in found.parts.items():
        part = {tag: value for tag, value in tags.items() if tag != MAKER_NOTE}
        if found.turned and WIDTH in part and HEIGHT in part:
            part[WIDTH], part[HEIGHT] = part[HEIGHT], part[WIDTH]
        _put(new, ifd, {tag: _raw(value) for tag, value in part.items()})
    return bytes(new.tobytes().removeprefix(EXIF_START)) if len(new) else None


def _as_bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, bytes | tuple) and value else None


def _put(exif: Any, tag: int, value: Any) -> None:
    """Set a tag, if Pillow can write it: some files have values that their tag cannot have."""
    if value is None or value == {}:
        return
    alone = Image.Exif()
    alone[tag] = _raw(value)
    try:
        alone.tobytes()
    except Exception:
        return
    exif[tag] = _raw(value)


class _Text(str):
    """Text of EXIF, which Pillow reads as Latin-1 and would write as ASCII: any bytes are kept."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return super().encode("latin-1", "replace")


def _raw(value: Any) -> Any:
    return _Text(value) if isinstance(value, str) else value


def _stated(tags: Mapping[int, Any]) -> Resolution | None:
    """The resolution that EXIF or a TIFF states, if it is one of inches or centimetres."""
    unit = {2: 1.0, 3: 2.54}.get(tags.get(UNIT, 2))
    return _resolution((tags.get(X_RESOLUTION), tags.get(Y_RESOLUTION)), unit)


def _resolution(value: Any, scale: float | None = 1) -> Resolution | None:
    try:
        across, down = (float(side) * (scale or 0) for side in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    good = 0 < across < 1e6 and 0 < down < 1e6 and (across, down) != (1, 1)
    return (across, down) if good else None


def loaded(block: bytes) -> Any:
    """An EXIF block as Pillow's object."""
    exif = Image.Exif()
    exif.load(EXIF_START + block)
    return exif


def complete_exif(meta: Metadata, kind: str) -> bytes | None:
    """The EXIF block for a format that has no other place for PNG's texts or the resolution."""
    tags = {
        TEXT_TAGS[text.key]: _Text(text.value.encode().decode("latin-1"))
        for text in meta.texts
        if kind != "png" and text.key in TEXT_TAGS and text.value
    }
    wants_dpi = kind == "webp" and meta.dpi is not None
    if not tags and not wants_dpi:
        return meta.exif
    exif = Image.Exif() if meta.exif is None else loaded(meta.exif)
    items = {tag: _raw(value) for tag, value in exif.items()}
    ifds = {ifd: dict(exif.get_ifd(ifd)) for ifd in SUBDIRECTORIES}
    new = Image.Exif()
    for tag, value in (items | {t: v for t, v in tags.items() if t not in items}).items():
        if tag not in ifds:
            new[tag] = value
    for ifd, part in ifds.items():
        if part:
            new[ifd] = {k: _raw(v) for k, v in part.items()}
    if wants_dpi and meta.dpi is not None and X_RESOLUTION not in new:
        new[X_RESOLUTION], new[Y_RESOLUTION], new[UNIT] = *meta.dpi, 2
    return bytes(new.tobytes().removeprefix(EXIF_START))


def options(meta: Metadata, kind: str) -> dict[str, Any]:
    """Options of Pillow's save() that write what a format (png, jpeg or webp) can hold."""
    found: dict[str, Any] = {}
    exif = complete_exif(meta, kind)
    if exif is not None:
        found["exif"] = EXIF_START + exif
    if kind == "png":
        found["pnginfo"] = _png_chunks(meta)
        if meta.dpi is not None:
            found["dpi"] = meta.dpi
        return found
    if meta.xmp is not None:
        found["xmp"] = meta.xmp
    if kind == "jpeg":
        if meta.dpi is not None:
            found["dpi"] = meta.dpi
        found["comment"] = _comment(meta)
        if meta.iptc is not None:
            found["extra"] = _segment(meta.iptc)
        for name, start in (("exif", b""), ("xmp", XMP_START), ("comment", b""), ("extra", b"")):
            if len(found.get(name) or b"") + len(start) > JPEG_MOST:
                del found[name]
    return found


def unwritable(meta: Metadata, kind: str) -> tuple[str, ...]:
    """What of the metadata a format cannot hold, for people."""
    missing = []
    if kind == "jpeg":
        written = options(meta, kind)
        names = {"exif": "EXIF", "xmp": "XMP", "comment": "comment", "extra": "IPTC"}
        had = {
            "exif": meta.exif,
            "xmp": meta.xmp,
            "comment": _comment(meta),
            "extra": meta.iptc,
        }
        missing = [names[k] for k, value in had.items() if value and not written.get(k)]
    elif kind in ("png", "webp") and meta.iptc is not None:
        missing.append("IPTC")
    if kind == "webp" and meta.comment is not None:
        missing.append("comment")
    kept = {*TEXT_TAGS, *(("Comment",) if kind in ("jpeg", "tiff") else ())}
    if kind != "png":
        missing += [f"text {text.key!r}" for text in meta.texts if text.key not in kept]
    if not missing:
        return ()
    return (f"{FORMATS[kind]} cannot hold its {', '.join(dict.fromkeys(missing))}",)


def tiff_tags(meta: Metadata) -> dict[int, tuple[int | None, Any]]:
    """Tags of a TIFF and their types (None is the usual one)."""
    tags: dict[int, tuple[int | None, Any]] = {}
    exif = complete_exif(meta, "tiff")
    if exif is not None:
        source = loaded(exif)
        kinds = source._info.tagtype if getattr(source, "_info", None) is not None else {}
        for tag, value in source.items():
            if tag in SUBDIRECTORIES:
                part = {k: _raw(v) for k, v in source.get_ifd(tag).items()}
                tags[tag] = 4, part
            elif tag not in LAYOUT:
                tags[tag] = kinds.get(tag), _raw(value)
    if meta.dpi is not None:
        tags |= {X_RESOLUTION: (5, meta.dpi[0]), Y_RESOLUTION: (5, meta.dpi[1]), UNIT: (3, 2)}
    comment = _comment(meta)
    if comment is not None and TEXT_TAGS["Description"] not in tags:
        tags[TEXT_TAGS["Description"]] = 2, comment
    if meta.xmp is not None:
        tags[XMP] = 1, meta.xmp
    if meta.iptc is not None:
        tags[IPTC] = 7, meta.iptc
    return tags


def _png_chunks(meta: Metadata) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    for kind, body in meta.png_colors:
        chunks.add(kind, body)
    for text in _texts(meta):
        # Many readers refuse what unpacks to more than a megabyte, and take it as it is.
        long = 1000 < len(text.value) < 500_000
        if text.international:
            chunks.add_itxt(text.key, text.value, text.language, text.translated, zip=long)
        else:
            chunks.add_text(text.key, text.value, zip=long)
    return chunks


def _texts(meta: Metadata) -> Iterator[Text]:
    yield from meta.texts
    if meta.comment is not None and all(text.key != "Comment" for text in meta.texts):
        yield Text("Comment", _decoded(meta.comment))
    if meta.xmp is not None:
        yield Text("XML:com.adobe.xmp", meta.xmp.decode("utf-8", "replace"), international=True)


def _comment(meta: Metadata) -> bytes | None:
    if meta.comment is not None:
        return meta.comment
    return next((text.value.encode() for text in meta.texts if text.key == "Comment"), None)


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _segment(iptc: bytes) -> bytes:
    """IPTC's records as the segment of a JPEG (APP13), in one of Photoshop's blocks."""
    block = b"8BIM" + struct.pack(">HxxI", IPTC_BLOCK, len(iptc)) + iptc + bytes(len(iptc) % 2)
    body = IPTC_START + block
    return b"\xff\xed" + struct.pack(">H", (len(body) + 2) & 0xFFFF) + body
