"""HTML: the text between block tags, with inline tags inside, and attributes that are read.

Tags, comments, scripts, code and what says ``translate="no"`` stay as they are, and so does
the ``lang`` of the page: its tags are the author's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from genkit.documents.html_tokens import Attribute, Token, attributes_of, tokens_of
from genkit.documents.layout import join, wrap
from genkit.documents.run import Run, escaper
from genkit.documents.segment import Markup, Piece, Role, Segment, in_order
from genkit.documents.source import Edit, SourceDocument, decode, line_of, line_starts

__all__ = ["parse"]

INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark math "
    "nobr output q ruby s samp small span strike strong sub sup svg time tt u var wbr".split()
)
"""Tags that may stand inside a sentence; all others end one."""
UNTOUCHED = frozenset("code kbd math pre samp script style svg textarea tt var xmp".split())
"""Elements whose contents are no language."""
VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
ATTRIBUTES = frozenset(
    "alt title placeholder aria-label aria-description aria-placeholder aria-roledescription "
    "aria-valuetext label summary".split()
)
"""Attributes that people read."""
META = frozenset("description og:title og:description twitter:title twitter:description".split())
"""The names of ``<meta>`` whose ``content`` people read."""
BUTTONS = frozenset(("button", "submit", "reset"))
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w:.-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]+encoding\s*=\s*["']([\w:.-]+)""")


def parse(data: bytes) -> SourceDocument:
    """Take a page apart. Raises InputError."""
    source, encoding = decode(data, _declared(data), errors="xmlcharrefreplace")
    return SourceDocument(source, encoding, _Page(source).edits())


def _declared(data: bytes) -> str | None:
    """The encoding that a page says it has."""
    match = _CHARSET.search(data, 0, 2048) or _XML.match(data)
    if match is None:
        return None
    name = match[1].decode("ascii", "replace").lower()
    # Browsers read it so: the page cannot be in UTF-16 if this was found, and Windows-1252 is
    # what pages in ISO-8859-1 are in.
    if name.startswith("utf-16"):
        return "utf-8"
    return "cp1252" if name in ("iso-8859-1", "latin1", "us-ascii", "ascii") else name


class _Page:
    """Goes through the tokens of a page once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._starts = line_starts(source)
        self._run = Run(source)
        self._edits: list[Edit] = []

    def edits(self) -> list[Edit]:
        tokens = tokens_of(self.source)
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.kind == "open" and _is_kept(token):
                end = _end_of(tokens, index)
                if token.name in INLINE and end < len(tokens):
                    self._run.markup(token.start, tokens[end].end)
                else:
                    self._cut()
                index = end + 1
                continue
            if token.kind in ("open", "empty"):
                self._attributes(token)
            if token.kind == "text":
                self._run.entities(token.start, token.end, bare=True)
            elif token.kind in ("code", "other"):
                role: Role = "content" if token.kind == "code" else "void"
                self._run.markup(token.start, token.end, role)
            elif token.name in INLINE:
                self._run.markup(token.start, token.end, _role(token), token.name)
            else:
                self._cut()
            index += 1
        self._cut()
        return self._edits

    def _cut(self) -> None:
        """End a segment."""
        run, self._run = self._run, Run(self.source)
        cut = run.cut()
        if cut is None:
            return
        segment = Segment(cut.pieces, line_of(self._starts, cut.start), _ordering(cut.pieces))
        write = _writer(self.source, cut.start, cut.end, escaper(run))
        self._edits.append(Edit(segment, cut.start, cut.end, write))

    def _attributes(self, token: Token) -> None:
        for attribute in attributes_of(self.source, token):
            if not _is_read(token, attribute):
                continue
            run = Run(self.source)
            run.entities(attribute.start, attribute.end, bare=True)
            cut = run.cut()
            if cut is not None:
                segment = Segment(cut.pieces, line_of(self._starts, cut.start))
                write = _attribute_writer(run, attribute.quote)
                self._edits.append(Edit(segment, cut.start, cut.end, write))


def _is_kept(token: Token) -> bool:
    classes = token.attributes.get("class", "").split()
    return (
        token.name in UNTOUCHED
        or token.attributes.get("translate") == "no"
        or "notranslate" in classes
    )


def _end_of(tokens: Sequence[Token], index: int) -> int:
    """The index of the tag that closes an element; one too high if there is none."""
    name = tokens[index].name
    if name in VOID:
        return index
    depth = 0
    for at in range(index, len(tokens)):
        if tokens[at].name == name:
            depth += {"open": 1, "close": -1}.get(tokens[at].kind, 0)
            if depth == 0:
                return at
    return len(tokens)


def _role(token: Token) -> Role:
    if token.kind == "empty" or token.name in VOID:
        return "void"
    return "close" if token.kind == "close" else "open"


def _is_read(token: Token, attribute: Attribute) -> bool:
    if attribute.name in ATTRIBUTES:
        return True
    if token.name == "meta" and attribute.name == "content":
        named = token.attributes.get("name") or token.attributes.get("property") or ""
        return named.lower() in META
    if token.name == "input" and attribute.name == "value":
        return token.attributes.get("type", "").lower() in BUTTONS
    return False


def _ordering(source: Sequence[Piece]) -> Callable[[Sequence[Piece]], bool]:
    return lambda pieces: in_order(pieces, source)


def _writer(
    source: str, start: int, end: int, escape: Callable[[str], str]
) -> Callable[[Sequence[Piece], Callable[[Markup], str]], str]:
    """Spells a text, in lines as long as the source's if those were several."""
    lines = re.split(r"(\r\n?|\n)", source[start:end])
    begin = max(source.rfind("\n", 0, start), source.rfind("\r", 0, start)) + 1
    width = None
    between = "\n"
    if len(lines) > 1:
        width = max(start - begin + len(lines[0]), *map(len, lines[2::2]))
        indent = re.match(r"[ \t]*", lines[2])
        assert indent is not None
        between = lines[1] + indent[0]

    def write(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
        joined = join(pieces, spell, escape)
        return wrap(joined, width=width, first=start - begin, between=between)

    return write


def _attribute_writer(
    run: Run, quote: str
) -> Callable[[Sequence[Piece], Callable[[Markup], str]], str]:
    mark = quote or '"'
    entity = run.spelled.get(mark, {'"': "&quot;", "'": "&#39;"}[mark])
    escape = escaper(run)

    def write(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
        text = wrap(join(pieces, spell, escape)).replace(mark, entity)
        return text if quote else f'"{text}"'

    return write
