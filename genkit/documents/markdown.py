"""Markdown: paragraphs, headings, list items and cells of tables, each with its markup inside.

Code, front matter, raw HTML, link targets, hard line breaks and whatever else is not such text
stay as they are. Lines that are wrapped by a plain line end are one text, and are wrapped again
at the same width. The positions come from markdown-it's line numbers, and inside a paragraph
from going through its tokens beside the source (``markdown_inline``).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

from genkit.documents.layout import join, wrap
from genkit.documents.markdown_inline import Inline, Unplaced, find_cuts, shape
from genkit.documents.run import Cut
from genkit.documents.segment import Markup, Piece, Segment
from genkit.documents.source import Edit, SourceDocument, Writer, decode, line_of, line_starts
from genkit.errors import GenkitWarning

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["parse"]

_FRONT = re.compile(
    r"\A(---|\+\+\+)[ \t]*(\r\n?|\n)(?:.*?(?:\r\n?|\n))?\1[ \t]*(?=[\r\n]|\Z)", re.DOTALL
)
_HEADING_END = re.compile(r"(?:[ \t]+#+|^#+)?[ \t]*$")
_BLOCK_START = re.compile(r"[-+*#>=|~`:<\[!]|\d+[.)]|\Z")
"""What must not come to stand first in a line: it could begin another block."""


def parse(data: bytes) -> SourceDocument:
    """Take a text in Markdown (CommonMark, with tables and strike-through) apart.

    Raises InputError.
    """
    source, encoding = decode(data)
    return MarkdownDocument(source, encoding, _Parser(source).edits())


class MarkdownDocument(SourceDocument):
    """A text in Markdown: its blocks are the same after a translation, whatever that is."""

    def render(self, translations: Sequence[Sequence[Piece] | None]) -> bytes:
        """The text with translations in their places.

        The segments were looked at one by one; those that only together make another block of
        something (a table, of two lines with bars) are left as they are, with a warning.
        """
        if self._keeps(translations):
            return super().render(translations)
        kept: list[Sequence[Piece] | None] = [None] * len(translations)
        self._settle(kept, translations, range(len(translations)))
        return super().render(kept)

    def _settle(
        self,
        kept: list[Sequence[Piece] | None],
        wanted: Sequence[Sequence[Piece] | None],
        places: range,
    ) -> None:
        """Take over as many as can be: all, or of each half as many as can be."""
        before = [kept[place] for place in places]
        kept[places.start : places.stop] = wanted[places.start : places.stop]
        if self._keeps(kept):
            return
        kept[places.start : places.stop] = before
        if len(places) == 1:
            line = self.segments[places.start].line
            message = f"line {line}: left as it is, for it would be another block"
            warnings.warn(message, GenkitWarning, stacklevel=2)
            return
        middle = places.start + len(places) // 2
        self._settle(kept, wanted, range(places.start, middle))
        self._settle(kept, wanted, range(middle, places.stop))

    def _keeps(self, translations: Sequence[Sequence[Piece] | None]) -> bool:
        return _outline(self.spelled(translations)) == self._outline

    @cached_property
    def _outline(self) -> list[tuple[object, ...]]:
        return _outline(self.source)


def _outline(source: str) -> list[tuple[object, ...]]:
    """The blocks of a text in order, each with what is in it besides language."""
    return [
        (token.type, token.tag, token.markup, token.info, token.level, shape([token]))
        if token.children is not None
        else (token.type, token.tag, token.markup, token.info, token.level, token.content)
        for token in _markdown().parse(_without_front(source))
    ]


def _without_front(source: str) -> str:
    """The text with front matter blank, so that the numbers of the lines stay."""
    front = _FRONT.match(source)
    if front is None:
        return source
    return re.sub(r"[^\r\n]", " ", front[0]) + source[front.end() :]


def _markdown() -> MarkdownIt:
    # Left apart, escapes and entities tell how they were spelled.
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join")


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self._starts = line_starts(source)
        self._markdown = _markdown()
        self._references: dict[str, Any] = {}

    def edits(self) -> list[Edit]:
        env: dict[str, Any] = {}
        tokens = self._markdown.parse(_without_front(self.source), env)
        self._references = env.get("references", {})
        edits: list[Edit] = []
        cells = _Cells()
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type != "inline" or token.map is None or before is None:
                continue
            kind = before.type
            if kind in ("th_open", "td_open"):
                inline, is_first = self._cell(token, cells)
                # A row that begins with its text, not with a bar, can become another block.
                frame = ("", "") if is_first else None
            else:
                inline = self._lines(token, heading=kind == "heading_open")
                frame = _frame(before)
            if inline is not None:
                edits += self._edits(inline, token, frame)
        return edits

    def _line(self, number: int) -> tuple[int, str]:
        """Where a line begins, and the line without its end."""
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else len(self.source)
        return start, self.source[start:end].rstrip("\r\n")

    def _lines(self, token: Token, *, heading: bool) -> Inline | None:
        """The text of a paragraph or heading, with the place of each character."""
        assert token.map is not None
        number = token.map[0]
        text: list[str] = []
        places: list[int] = []
        for content in token.content.split("\n"):
            content = content.strip()
            while True:
                if number >= token.map[1]:
                    return None
                start, line = self._line(number)
                number += 1
                if heading and "\n" not in token.content:
                    line = _HEADING_END.sub("", line)
                column = len(line.rstrip()) - len(content)
                if column >= 0 and line.startswith(content, column):
                    break
            if text:
                text.append("\n")
                places.append(start - 1)
            # Two spaces at the end of a line are a hard break.
            kept = line[column:]
            text.append(kept)
            places += range(start + column, start + column + len(kept))
        whole = "".join(text).rstrip()
        if not whole:
            return None
        return Inline(self.source, whole, [*places[: len(whole)], places[len(whole) - 1] + 1])

    def _cell(self, token: Token, cells: _Cells) -> tuple[Inline | None, bool]:
        """The text of a table's cell, with the place of each character, and whether no bar stands
        before it.
        """
        assert token.map is not None
        if not token.content:
            return None, False
        start, line = self._line(token.map[0])
        span = cells.find(token.map[0], line, token.content)
        if span is None:
            return None, False
        text: list[str] = []
        places: list[int] = []
        for at in range(*span):
            if line[at] == "\\" and line[at + 1 : at + 2] == "|" and at + 1 < span[1]:
                continue  # the table takes this one
            text.append(line[at])
            places.append(start + at)
        inline = Inline(self.source, "".join(text), [*places, places[-1] + 1], is_cell=True)
        return inline, "|" not in line[: span[0]]

    def _edits(self, inline: Inline, token: Token, frame: tuple[str, str] | None) -> Iterator[Edit]:
        try:
            found = find_cuts(inline, token.children or [], self._references)
        except Unplaced:  # left as it is: nothing is lost
            return
        check = _Check(self._markdown, self._references, inline, frame)
        for cut, spelled in found:
            escape = _escaper(cut, spelled, inline.is_cell)
            accepts = check.of(cut, escape)
            segment = Segment(cut.pieces, line_of(self._starts, cut.start), accepts)
            yield Edit(segment, cut.start, cut.end, self._writer(inline, cut, escape))
        for cut in inline.labels:
            segment = Segment(cut.pieces, line_of(self._starts, cut.start), _is_plain_label)
            yield Edit(segment, cut.start, cut.end, self._writer(inline, cut, str))

    def _writer(self, inline: Inline, cut: Cut, escape: Callable[[str], str]) -> Writer:
        """Spells a text, in lines as long as the source's if those were several."""
        first, last = inline.index(cut.start), inline.index(cut.end)
        line = line_of(self._starts, cut.start) - 1
        column = cut.start - self._starts[line]
        newline = inline.text.find("\n", first, last)
        if newline < 0:
            return lambda pieces, spell: wrap(join(_named(pieces), spell, escape))
        end = inline.places[newline] + 1
        between = self.source[end - 1 : end]
        if self.source[end - 2 : end] == "\r\n":
            between = "\r\n"
        between += self.source[end : inline.places[newline + 1]]
        count = inline.text.count("\n", first, last) + 1
        width = max(len(self._line(number)[1].rstrip()) for number in range(line, line + count))

        def write(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
            return wrap(
                join(_named(pieces), spell, escape),
                width=width,
                first=column,
                between=between,
                forbidden=_BLOCK_START,
            )

        return write


def _frame(block: Token) -> tuple[str, str]:
    """What stands around the text of a block."""
    if block.type != "heading_open":
        return "", ""
    return (f"{block.markup} ", "") if block.markup[0] == "#" else ("", f"\n{block.markup * 3}")


class _Cells:
    """Finds the cells of a table's row, from left to right."""

    def __init__(self) -> None:
        self._line = -1
        self._at = 0

    def find(self, number: int, line: str, content: str) -> tuple[int, int] | None:
        """Where a cell stands in its line. Rows without a letter may be passed over."""
        if number != self._line:
            self._line, self._at = number, 0
        bar = r"\\?\|"
        spelled = bar.join(map(re.escape, content.split("|")))
        found = re.compile(rf"(?:^|(?<=[|\s]))({spelled})(?=\s*(?:\||$))").search(line, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found.span(1)


class _Check:
    """Whether a block would still be what it is with another text in it."""

    def __init__(
        self,
        markdown: MarkdownIt,
        references: dict[str, Any],
        inline: Inline,
        frame: tuple[str, str] | None,
    ) -> None:
        self._parse = markdown.parseInline if frame is None else markdown.parse
        self._before, self._after = frame or ("", "")
        self._references = references
        self._inline = inline

    @cached_property
    def _shape(self) -> list[tuple[str, ...]]:
        return self._shape_of(self._inline.text)

    def _shape_of(self, text: str) -> list[tuple[str, ...]]:
        env = {"references": self._references}
        return shape(self._parse(f"{self._before}{text}{self._after}", env))

    def of(self, cut: Cut, escape: Callable[[str], str]) -> Callable[[Sequence[Piece]], bool]:
        """The check of one of the block's texts."""
        inline = self._inline
        first, last = inline.index(cut.start), inline.index(cut.end)
        # In a cell, a bar has lost its backslash by the time that its text is looked at.
        spelled = (lambda text: escape(text).replace("\\|", "|")) if inline.is_cell else escape

        def spell(markup: Markup) -> str:
            if markup.written is not None:
                return markup.written
            return inline.text[inline.index(markup.start) : inline.index(markup.end)]

        def accepts(pieces: Sequence[Piece]) -> bool:
            text = wrap(join(_named(pieces), spell, spelled))
            changed = inline.text[:first] + text + inline.text[last:]
            return self._shape_of(changed) == self._shape

        return accepts


def _escaper(cut: Cut, spelled: dict[str, str], is_cell: bool) -> Callable[[str], str]:
    """Spells language as the source does, and what it does not have with a backslash."""
    language = "".join(piece for piece in cut.pieces if isinstance(piece, str))
    table = {char: f"\\{char}" for char in "\\`*_[]<" if char not in language} | spelled
    if is_cell:
        table["|"] = "\\|"
    translation = str.maketrans(table)
    return lambda text: text.translate(translation)


def _named(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces in which links whose text is the name of their target, and still is, stay short."""
    named: list[Piece] = []
    for piece in pieces:
        is_name = isinstance(piece, Markup) and piece.written is not None and len(named) > 1
        if is_name and isinstance(piece, Markup) and piece.written == f"][{named[-1]}]":
            piece = replace(piece, written=None)
        named.append(piece)
    return named


def _is_plain_label(pieces: Sequence[Piece]) -> bool:
    return all(isinstance(piece, str) and not re.search(r"[\[\]\\`<|]", piece) for piece in pieces)
