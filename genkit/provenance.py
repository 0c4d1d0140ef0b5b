"""What made a result, written into the result itself.

A record is a JSON object: the task, the model and the hash of its graphs, the precision, the
options, and hashes of the inputs. It has no names of files. It lies where readers of images
leave it alone, and pixels are not touched:

- PNG and APNG: a tEXt chunk ``genkit`` behind the header
- JPEG: a comment, ``genkit`` and a space before the record, behind the header
- GIF: such a comment at the end
- WebP: a chunk ``gnkt`` at the end
- TIFF: such a text as the tag Software (305) of the first page

Functions of bytes, without Pillow.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from genkit.model import Model

__all__ = ["Record", "differences", "embed", "extract", "hash_of", "made_by", "read_record"]

Record = dict[str, Any]

KEY = b"genkit"
DIGITS = 32
"""Hexadecimal digits of a hash: half of a SHA-256."""
PNG = b"\x89PNG\r\n\x1a\n"
SOFTWARE, ASCII, ENTRY = 305, 2, 12
NOT_COMPARED = ("genkit", "precision")
LARGEST = 1 << 16
"""Bytes of a record: what a segment of a JPEG holds."""


def hash_of(*data: bytes) -> str:
    """The hash of some bytes, as it stands in records."""
    digest = hashlib.sha256()
    for part in data:
        digest.update(part)
    return digest.hexdigest()[:DIGITS]


def made_by(model: Model, role: str, **options: Any) -> Record:
    """The record of a result that a model makes: which model, and with which options.

    The hash is of all graphs of the role, in the order of their precisions: the precision is
    told apart from it. Options that are None are left out.
    """
    from genkit import __version__

    graphs = sorted((name, graph.sha256) for name, graph in model.card.graph_files(role).items())
    record = {
        "genkit": __version__,
        "task": model.card.task,
        "model": model.card.name,
        "graphs": hash_of(json.dumps(graphs).encode()),
    }
    return record | {name: value for name, value in options.items() if value is not None}


def differences(asked: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs between a result that is asked for and one that is there, a phrase each.

    The version of genkit does not count. A precision counts if it is asked for: what ``auto``
    came to elsewhere is as good.
    """
    names = [name for name in dict.fromkeys([*asked, *found]) if name not in NOT_COMPARED]
    if asked.get("precision", "auto") != "auto":
        names.append("precision")
    wanted, there = _plain(asked), _plain(found)
    return [
        _phrase(name, wanted.get(name), there.get(name))
        for name in names
        if wanted.get(name) != there.get(name)
    ]


def read_record(path: Path) -> Record | None:
    """The record of a file; None if it has none. Raises OSError."""
    return extract(path.read_bytes())


def embed(data: bytes, record: Mapping[str, Any]) -> bytes:
    """An encoded image with a record, in place of one that it may have."""
    text = json.dumps(record, separators=(",", ":")).encode("ascii")
    form = _form_of(data)
    if form is None or len(text) > LARGEST - 16:
        raise ValueError("no image, or too long a record")
    return form.embed(data, text)


def extract(data: bytes) -> Record | None:
    """The record of an encoded image; None where there is none that can be read."""
    form = _form_of(data)
    if form is None:
        return None
    try:
        text = form.extract(data)
        record = None if text is None else json.loads(text)
    except (IndexError, ValueError, struct.error, RecursionError):  # whatever strangers wrote
        return None
    return record if isinstance(record, dict) else None


def _plain(record: Mapping[str, Any]) -> Record:
    """A record as it comes back from a file: tuples are lists."""
    plain: Record = json.loads(json.dumps(record))
    return plain


def _phrase(name: str, wanted: Any, there: Any) -> str:
    if name in ("graphs", "input", "mask", "noise", "images"):
        return {"graphs": "other weights", "images": "other seeds or options"}.get(
            name, f"another {name}"
        )
    return f"{name} {_told(there)} instead of {_told(wanted)}"


def _told(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


# PNG


def _chunks(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Where each chunk begins, its type, and where it ends."""
    at = len(PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield at, data[at + 4 : at + 8], at + 12 + length
        at += 12 + length


def _embed_png(data: bytes, text: bytes) -> bytes:
    body = b"tEXt" + KEY + b"\0" + text
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    parts = [PNG]
    for start, kind, end in _chunks(data):
        if not (kind == b"tEXt" and data.startswith(KEY + b"\0", start + 8)):
            parts.append(data[start:end])
        if kind == b"IHDR":
            parts.append(chunk)
    return b"".join(parts)


def _extract_png(data: bytes) -> bytes | None:
    for start, kind, end in _chunks(data):
        if kind == b"tEXt" and data.startswith(KEY + b"\0", start + 8):
            return data[start + 9 + len(KEY) : end - 4]
        if kind == b"IDAT":
            break
    return None


# JPEG


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each segment before the image begins, its marker, and where it ends."""
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])
        yield at, data[at + 1], end
        at = end


def _is_record(data: bytes, start: int, marker: int) -> bool:
    return marker == 0xFE and data.startswith(KEY + b" {", start + 4)


def _embed_jpeg(data: bytes, text: bytes) -> bytes:
    body = KEY + b" " + text
    comment = b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body
    parts, last, is_in = [data[:2]], 2, False
    for start, marker, end in _segments(data):
        if not is_in and not 0xE0 <= marker <= 0xEF:  # those of JFIF and EXIF come first
            parts.append(comment)
            is_in = True
        if not _is_record(data, start, marker):
            parts.append(data[start:end])
        last = end
    return b"".join([*parts, b"" if is_in else comment, data[last:]])


def _extract_jpeg(data: bytes) -> bytes | None:
    for start, marker, end in _segments(data):
        if _is_record(data, start, marker):
            return data[start + 5 + len(KEY) : end]
    return None


# GIF: a comment is of blocks of up to 255 bytes, and the last one before the trailer is ours.


def _embed_gif(data: bytes, text: bytes) -> bytes:
    body = KEY + b" " + text
    blocks = [body[i : i + 255] for i in range(0, len(body), 255)]
    comment = b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return data.removesuffix(b";") + comment + b";"


def _extract_gif(data: bytes) -> bytes | None:
    at = data.rfind(b"!\xfe")
    if at < 0:
        return None
    body, at = b"", at + 2
    while data[at]:
        body += data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    ours = data[at:] == b"\0;" and body.startswith(KEY + b" ")
    return body[len(KEY) + 1 :] if ours else None


# WebP


def _riff(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The type of each chunk, where its contents begin, and where they end."""
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], at + 8, at + 8 + length
        at += 8 + length + length % 2


def _embed_webp(data: bytes, text: bytes) -> bytes:
    kept = [data[start - 8 : end + end % 2] for kind, start, end in _riff(data) if kind != b"gnkt"]
    kept.append(b"gnkt" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2))
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extract_webp(data: bytes) -> bytes | None:
    return next((data[start:end] for kind, start, end in _riff(data) if kind == b"gnkt"), None)


# TIFF


def _directory(data: bytes) -> tuple[str, int, int]:
    """The order of its bytes, where the first directory begins, and its entries."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    return order, at, count


def _entries(data: bytes) -> Iterator[bytes]:
    _, at, count = _directory(data)
    for i in range(count):
        yield data[at + 2 + ENTRY * i : at + 2 + ENTRY * (i + 1)]


def _embed_tiff(data: bytes, text: bytes) -> bytes:
    """The record and a new directory at the end, to which the header points."""
    order, at, count = _directory(data)
    tag = struct.Struct(order + "H")
    end_of_old = at + 2 + ENTRY * count
    text = KEY + b" " + text + b"\0"
    text += b"\0" * ((len(data) + len(text)) % 2)  # a directory begins at an even place
    mine = struct.pack(order + "HHII", SOFTWARE, ASCII, len(text), len(data))
    entries = [entry for entry in _entries(data) if tag.unpack_from(entry)[0] != SOFTWARE]
    entries = sorted([*entries, mine], key=lambda entry: int(tag.unpack_from(entry)[0]))
    directory = tag.pack(len(entries)) + b"".join(entries) + data[end_of_old : end_of_old + 4]
    start = struct.pack(order + "I", len(data) + len(text))
    return data[:4] + start + data[8:] + text + directory


def _extract_tiff(data: bytes) -> bytes | None:
    order, _, _ = _directory(data)
    for entry in _entries(data):
        tag, kind, length, at = struct.unpack(order + "HHII", entry)
        text = data[at : at + length].rstrip(b"\0")
        if (tag, kind) == (SOFTWARE, ASCII) and text.startswith(KEY + b" {"):
            return text[len(KEY) + 1 :]
    return None


class _Form(NamedTuple):
    starts: Sequence[bytes]
    embed: Callable[[bytes, bytes], bytes]
    extract: Callable[[bytes], bytes | None]


FORMS = (
    _Form([PNG], _embed_png, _extract_png),
    _Form([b"\xff\xd8\xff"], _embed_jpeg, _extract_jpeg),
    _Form([b"GIF8"], _embed_gif, _extract_gif),
    _Form([b"RIFF"], _embed_webp, _extract_webp),
    _Form([b"II*\0", b"MM\0*"], _embed_tiff, _extract_tiff),
)


def _form_of(data: bytes) -> _Form | None:
    return next((form for form in FORMS if data.startswith(tuple(form.starts))), None)
