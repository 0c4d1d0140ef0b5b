"""Documents whose bytes are not UTF-8 and do not say what they are: somebody else says it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genkit.documents.segment import Document, Piece, Segment
from genkit.documents.source import Encoding
from genkit.errors import InputError, UsageError

__all__ = ["encoding_named", "recoded"]


def encoding_named(name: str) -> str:
    """The usual name of an encoding of texts. Raises UsageError."""
    try:
        found = codecs.lookup(name)
        "".encode(found.name)  # base64 is a codec too, but not of texts
    except LookupError:
        raise UsageError(
            f"unknown encoding {name!r}", hint="such as cp1252, iso-8859-15, utf-16-le"
        ) from None
    return found.name


@dataclass(frozen=True)
class _Recoded:
    """A document that was read as UTF-8, and is written in its own encoding."""

    document: Document
    encoding: Encoding

    @property
    def segments(self) -> Sequence[Segment]:
        return self.document.segments

    def render(self, translations: Sequence[Sequence[Piece] | None]) -> bytes:
        """The bytes of the file. Raises InputError for characters that it cannot spell."""
        return self.encoding.encode(self.document.render(translations).decode())


def recoded(data: bytes, encoding: str, parse: Callable[[bytes], Document]) -> Document:
    """Take a file apart whose text is UTF-8, or else in ``encoding``. Raises InputError."""
    try:
        if "\0" not in data.decode():
            return parse(data)
    except UnicodeDecodeError:
        pass
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return parse(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"neither UTF-8 nor {encoding}: byte 0x{data[error.start]:02x} in line {line}"
        ) from error
    return _Recoded(parse(text.encode()), Encoding(encoding))
