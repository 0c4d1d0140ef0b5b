"""Documents that are text: edits of a source that leave the rest of it alone."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from genkit.documents.segment import Markup, Piece, Segment
from genkit.errors import InputError

__all__ = ["Edit", "Encoding", "SourceDocument", "Writer", "decode", "line_of", "line_starts"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Encoding:
    """How the text of a file is spelled in bytes. ``errors`` is as in ``str.encode``."""

    name: str = "utf-8"
    bom: bytes = b""
    errors: str = "strict"

    def encode(self, text: str) -> bytes:
        """The bytes of a file. Raises InputError for characters that it cannot spell."""
        try:
            return self.bom + text.encode(self.name, self.errors)
        except UnicodeEncodeError as error:
            raise InputError(
                f"its encoding, {self.name}, has no {text[error.start]!r}",
                hint="convert the file to UTF-8 first",
            ) from error


def decode(
    data: bytes, declared: str | None = None, errors: str = "strict"
) -> tuple[str, Encoding]:
    """The text of a file: by its byte order mark, what it declares, or as UTF-8.

    Raises InputError where the bytes are none of that.
    """
    name, bom = declared or "utf-8", b""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            name, bom = encoding, mark
            break
    try:
        name = codecs.lookup(name).name
        text = data[len(bom) :].decode(name)
    except LookupError:
        raise InputError(f"declares an unknown encoding, {name}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(bom) + error.start) + 1
        raise InputError(
            f"not {name.upper()}: byte 0x{data[len(bom) + error.start]:02x} in line {line}",
            hint="convert it first: iconv -f ENCODING -t UTF-8"
            if declared
            else "say what it is (--encoding cp1252), or convert it: iconv -f ENCODING -t UTF-8",
        ) from error
    if "\0" in text:
        raise InputError(f"NUL byte in line {text.count(chr(10), 0, text.index(chr(0))) + 1}")
    return text, Encoding(name, bom, errors)


def line_starts(source: str) -> list[int]:
    """Where the lines begin; a line ends with LF, CR LF or CR."""
    return [0, *(match.end() for match in re.finditer(r"\r\n?|\n", source))]


def line_of(starts: Sequence[int], place: int) -> int:
    """The number of the line of a place, from 1."""
    return bisect_right(starts, place)


Writer = Callable[[Sequence[Piece], Callable[[Markup], str]], str]
"""Pieces, and what spells a markup -> source."""


@dataclass(frozen=True)
class Edit:
    """A segment, where it stands in the source, and how its translation is spelled there."""

    segment: Segment
    start: int
    end: int
    write: Writer


class SourceDocument:
    """A source and the edits that may be made to it.

    An edit may lie inside the markup of another one (the alternative text of an image in a
    sentence); otherwise they do not overlap.
    """

    def __init__(self, source: str, encoding: Encoding, edits: Sequence[Edit]) -> None:
        self.source = source
        self.encoding = encoding
        self._edits = sorted(edits, key=lambda edit: (edit.start, -edit.end))

    @cached_property
    def segments(self) -> list[Segment]:
        """What can be translated, in order."""
        return [edit.segment for edit in self._edits]

    def render(self, translations: Sequence[Sequence[Piece] | None]) -> bytes:
        """The source with translations in their places. Raises InputError."""
        return self.encoding.encode(self.spelled(translations))

    def spelled(self, translations: Sequence[Sequence[Piece] | None]) -> str:
        """The same as text."""
        changed = [
            (edit, pieces)
            for edit, pieces in zip(self._edits, translations, strict=True)
            if pieces is not None and tuple(pieces) != edit.segment.pieces
        ]
        return self._spell(0, len(self.source), changed)

    def _spell(self, start: int, end: int, changed: Sequence[tuple[Edit, Sequence[Piece]]]) -> str:
        parts = []
        at = start
        for index, (edit, pieces) in enumerate(changed):
            if edit.start < at or edit.end > end:
                continue  # inside one that was done, or outside
            inner = _within(edit.end, islice(changed, index + 1, None))

            def spell(markup: Markup, inner: Sequence[tuple[Edit, Sequence[Piece]]] = inner) -> str:
                if markup.written is not None:
                    return markup.written
                return self._spell(markup.start, markup.end, inner)

            parts += [self.source[at : edit.start], edit.write(pieces, spell)]
            at = edit.end
        parts.append(self.source[at:end])
        return "".join(parts)


def _within(
    end: int, later: Iterable[tuple[Edit, Sequence[Piece]]]
) -> list[tuple[Edit, Sequence[Piece]]]:
    found = []
    for edit, pieces in later:
        if edit.end > end:
            break
        found.append((edit, pieces))
    return found
