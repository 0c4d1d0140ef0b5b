"""Translations of programs' messages (PO): ``msgstr`` is filled from ``msgid``.

Only messages without a translation are filled, unless all are to be overwritten; obsolete ones
and the header are left alone. What a machine wrote is marked ``fuzzy``, as translation tools
do, so that nobody takes it for reviewed: ``msgfmt`` leaves such messages out unless told
otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from gettext import c2py

import polib

from genkit.documents.po_formats import join_mnemonic, spans_of, split_mnemonic
from genkit.documents.segment import Markup, Piece, Segment, has_letter
from genkit.documents.source import Encoding, decode
from genkit.errors import InputError

__all__ = ["PoDocument", "parse"]

_CHARSET = re.compile(rb"charset=([\w-]+)")
_PLURAL = re.compile(r"nplurals\s*=\s*(\d+)\s*;\s*plural\s*=\s*([^;\n]+)")
_KEYWORD = re.compile(r"msgstr(?:\[(\d+)\])?(?=[ \t]*\")")
_MSGID = re.compile(r'msgid[ \t]*"')
_EMPTY = re.compile(r'msgid[ \t]*""')
_LINE = re.compile(
    r"\s*(?:#.*|(?:(?:msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)[ \t]*)?"
    r'"(?:[^"\\]|\\.)*"\s*)?'
)
_WIDTH = 79
"""Columns of a line, as gettext's tools break them."""


def parse(data: bytes, *, overwrite: bool = False, fuzzy: bool = True) -> PoDocument:
    """Take a PO file apart. Raises InputError."""
    charset = _CHARSET.search(data)
    declared = charset[1].decode() if charset and charset[1] != b"CHARSET" else None
    source, encoding = decode(data, declared)
    for number, line in enumerate(re.split(r"\r\n?|\n", source), 1):
        if not _LINE.fullmatch(line):  # the library lets much of this pass
            raise InputError(f"not PO: line {number} is no comment, keyword or string")
    try:
        entries = polib.pofile(source if "\n" in source else source + "\n")
    except (OSError, ValueError, UnicodeError) as error:
        raise InputError(f"not PO: {' '.join(str(error).split())}") from error
    return PoDocument(source, encoding, entries, overwrite=overwrite, fuzzy=fuzzy)


@dataclass(frozen=True)
class _Slot:
    """A ``msgstr`` to fill: the lines of the source that hold it, and which segment fills it."""

    first: int
    last: int
    keyword: str
    segment: int
    mark: str
    key: str
    """The access key of a label and its mark, which the segment is without."""


@dataclass(frozen=True)
class _Message:
    """A message to translate. ``line`` is the index of its first line."""

    line: int
    slots: tuple[_Slot, ...]
    is_fuzzy: bool


class PoDocument:
    """A PO file and the messages that are to be translated."""

    def __init__(
        self,
        source: str,
        encoding: Encoding,
        entries: polib.POFile,
        *,
        overwrite: bool,
        fuzzy: bool,
    ) -> None:
        self._lines = re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+\Z", source)
        self._newline = "\r\n" if "\r\n" in source else "\n"
        self._encoding = encoding
        self._fuzzy = fuzzy
        self._singular = _singular_form(entries.metadata.get("Plural-Forms", ""))
        self._bare = [line.strip() for line in self._lines]
        self.segments: list[Segment] = []
        starts = list(self._starts())
        present = [entry for entry in entries if not entry.obsolete]
        if len(starts) != len(present):
            raise InputError(f"not PO: {len(starts)} messages by its lines, {len(present)} in all")
        self._messages = [
            message
            for entry, first in zip(present, starts, strict=True)
            if (message := self._message(entry, first, overwrite)) is not None
        ]

    def _starts(self) -> Iterator[int]:
        """The indices of the lines where messages begin, the header left out.

        (The line numbers of the library are those of comments, and off for the first one.)
        """
        context = False
        for index, line in enumerate(self._bare):
            if line.startswith("msgctxt"):
                context = True
                yield index
            elif _MSGID.match(line):
                following = self._bare[index + 1 : index + 2]
                is_header = _EMPTY.fullmatch(line) and not (
                    following and following[0].startswith('"')
                )
                if not context and not is_header:
                    yield index
                context = False

    def _message(self, entry: polib.POEntry, first: int, overwrite: bool) -> _Message | None:
        if not has_letter(entry.msgid) and not has_letter(entry.msgid_plural):
            return None
        plural: int | None = None
        slots: list[_Slot] = []
        filled = False
        line = first
        while line < len(self._bare) and self._bare[line].startswith("msg"):
            match = _KEYWORD.match(self._bare[line])
            if filled and match is None:
                break  # another entry, without a blank line before it
            filled = filled or match is not None
            last = line + 1
            while last < len(self._bare) and self._bare[last].startswith('"'):
                last += 1
            if match:
                form = int(match[1] or 0)
                there = entry.msgstr_plural.get(form, "") if match[1] else entry.msgstr
                if overwrite or not there:
                    is_plural = match[1] is not None and form != self._singular
                    text, mark, key = split_mnemonic(
                        entry.msgid_plural if is_plural else entry.msgid
                    )
                    if is_plural and plural is not None:
                        segment = plural
                    else:
                        segment = self._segment(text, entry.flags, first + 1)
                        plural = segment if is_plural else plural
                    slots.append(_Slot(line, last, match[0], segment, mark, key))
            line = last
        if not slots:
            return None
        return _Message(first, tuple(slots), entry.fuzzy)

    def _segment(self, text: str, flags: Sequence[str], line: int) -> int:
        """Add a segment, and return its index."""
        pieces, ordered = spans_of(text, flags)
        markup = [piece.text for piece in pieces if isinstance(piece, Markup)]

        def accepts(translated: Sequence[Piece]) -> bool:
            kept = [piece.text for piece in translated if isinstance(piece, Markup)]
            return kept == markup if ordered else True

        self.segments.append(Segment(pieces, line, accepts))
        return len(self.segments) - 1

    def render(self, translations: Sequence[Sequence[Piece] | None]) -> bytes:
        """The file with the messages filled that have a translation other than themselves."""
        texts = [
            _text_of(translated if translated is not None else segment.pieces)
            for segment, translated in zip(self.segments, translations, strict=True)
        ]
        lines = list(self._lines)
        for message in self._messages:
            if all(
                texts[slot.segment] == self.segments[slot.segment].text for slot in message.slots
            ):
                continue
            for slot in message.slots:
                text = join_mnemonic(texts[slot.segment], slot.mark, slot.key)
                lines[slot.first] = _written(slot.keyword, text, self._newline)
                lines[slot.first + 1 : slot.last] = [""] * (slot.last - slot.first - 1)
            if self._fuzzy and not message.is_fuzzy:
                self._mark(lines, message.line)
        return self._encoding.encode("".join(lines))

    def _mark(self, lines: list[str], first: int) -> None:
        """Give the message that begins in this line the flag that asks for a review."""
        at = first
        while at > 0 and lines[at - 1].startswith("#"):
            at -= 1
            if lines[at].startswith("#,"):
                lines[at] = "#, fuzzy," + lines[at][2:]
                return
        while at < first and not lines[at].startswith("#|"):
            at += 1
        lines[at] = f"#, fuzzy{self._newline}{lines[at]}"


def _singular_form(header: str) -> int | None:
    """The plural form that is that of 1 alone; None where there is no such form."""
    match = _PLURAL.search(header)
    if match is None:
        return 0
    try:
        form = c2py(match[2].strip())
    except ValueError:
        return 0
    one = form(1)
    return one if int(match[1]) > 1 and all(form(n) != one for n in range(2, 200)) else None


def _text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


def _written(keyword: str, text: str, newline: str) -> str:
    """A statement as gettext's tools write it: lines end after \\n and at 79 columns."""
    escaped = polib.escape(text)
    parts = re.findall(r"(?:(?!\\n)(?:\\.|[^\\]))*(?:\\n|\Z)", escaped)
    parts = [part for part in parts if part]
    if len(parts) <= 1 and len(keyword) + 3 + len(escaped) <= _WIDTH:
        return f'{keyword} "{escaped}"{newline}'
    lines = [line for part in parts for line in _broken(part, _WIDTH - 3)]
    return "".join(
        f"{line}{newline}" for line in [f'{keyword} ""', *(f'"{line}"' for line in lines)]
    )


def _broken(text: str, width: int) -> list[str]:
    """A text in lines that end after a space."""
    lines = [""]
    for word in re.findall(r"[^ ]* +|[^ ]+", text):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word
    return lines
