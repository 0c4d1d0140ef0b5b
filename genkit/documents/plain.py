"""Plain text: a line is a text; or, with ``paragraphs``, the lines of a paragraph are one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from genkit.documents.layout import join, wrap
from genkit.documents.segment import Markup, Piece, Segment, has_letter
from genkit.documents.source import Edit, SourceDocument, decode

__all__ = ["parse"]

_LINE = re.compile(r"([^\r\n]*)(\r\n?|\n|\Z)")
_QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*")
_ITEM = re.compile(r"(?:[-*+•–—][ \t]+|\(?(?:\d{1,3}|[A-Za-z])[.)][ \t]+)")


def parse(data: bytes, *, paragraphs: bool = False) -> SourceDocument:
    """Take a text apart.

    A paragraph ends at a blank line, where a list's item begins, and where the depth of
    quotation (``>``) changes or the indentation grows. Its translation is broken into lines of
    about the same width again. Raises InputError.
    """
    source, encoding = decode(data)
    lines = [match for match in _LINE.finditer(source) if match[0]]
    groups = _paragraphs(lines) if paragraphs else [[line] for line in lines]
    edits = []
    number = 1
    for group in groups:
        edit = _edit(source, group, number)
        if edit is not None:
            edits.append(edit)
        number += len(group)
    return SourceDocument(source, encoding, edits)


def _paragraphs(lines: Sequence[re.Match[str]]) -> list[list[re.Match[str]]]:
    groups: list[list[re.Match[str]]] = []
    for line in lines:
        if groups and _goes_on(groups[-1], line[1]):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _goes_on(group: Sequence[re.Match[str]], line: str) -> bool:
    """Whether a line belongs to the paragraph before it."""
    last = group[-1][1]
    before, here = _prefix(last), _prefix(line)
    if not last[len(before) :] or not line[len(here) :] or _ITEM.match(line, len(here)):
        return False
    if before.count(">") != here.count(">"):
        return False
    item = _ITEM.match(last, len(before))
    # The lines of an item hang below its text.
    hanging = len(before.expandtabs()) + (len(item[0]) if item else 0)
    return len(here.expandtabs()) <= max(hanging, len(before.expandtabs()))


def _prefix(line: str) -> str:
    match = _QUOTE.match(line)
    assert match is not None
    return match[0]


def _edit(source: str, group: Sequence[re.Match[str]], number: int) -> Edit | None:
    first, last = group[0], group[-1]
    begin = len(_prefix(first[1])) if len(group) > 1 else 0
    texts = [first[1][begin:], *(line[1][len(_prefix(line[1])) :] for line in group[1:])]
    text = texts[0] if len(texts) == 1 else " ".join(map(str.strip, texts))
    if not has_letter(text):
        return None
    start, end = first.start() + begin, last.end(1)
    if len(group) == 1:
        return Edit(Segment((text,), number), start, end, _as_line)
    width = max(len(line[1].rstrip()) for line in group)
    between = first[2] + _prefix(group[1][1])
    return Edit(Segment((text,), number), start, end, _wrapped(width, begin, between))


def _as_line(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
    return wrap(join(pieces, spell))


def _wrapped(
    width: int, first: int, between: str
) -> Callable[[Sequence[Piece], Callable[[Markup], str]], str]:
    def write(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
        return wrap(join(pieces, spell), width=width, first=first, between=between)

    return write
