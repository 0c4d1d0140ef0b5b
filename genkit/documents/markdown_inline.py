"""The inside of a paragraph in Markdown: markdown-it's tokens, put where they stand.

The tokens have no positions, but they come in the order of the text and say how they are
spelled, so going through both finds them. Where the two do not agree, ``Unplaced`` is raised
and the paragraph is left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markdown_it.common.utils import normalizeReference
from markdown_it.helpers import parseLinkDestination, parseLinkTitle

from genkit.documents.html import UNTOUCHED
from genkit.documents.run import Cut, Run
from genkit.documents.segment import Role, has_letter

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["Inline", "Unplaced", "find_cuts", "shape"]

_SOFT = re.compile(r" *\n *")
_HARD = re.compile(r"(?: {2,}|\\)\n *")
_TASK = re.compile(r"\[[ xX]\](?=\s)")
_OWN_LINE = re.compile(r":{3,}|!!!|\?\?\?|:[ \t]|\||\[![A-Za-z]+\][ \t]*$|[-+*][ \t]|\d+[.)][ \t]")
"""Lines that stay lines: directives, definitions, rows of tables, GitHub's alerts, and lists
that are indented too far to be lists."""
_DIRECTIVE = re.compile(r"(?::{3,}|!!!|\?\?\?)[^\n]*|\[![A-Za-z]+\]")
_EXTRA = re.compile(
    r"\[\^[^\]\s]+\]:?"  # footnotes
    r"|\{[#.:%][^{}\n]*\}"  # attributes, Liquid
    r"|\{\{.*?\}\}"
    r"|\$\$.+?\$\$|(?<![\\$\w])\$(?=\S)[^$\n]*[\\^_{}=][^$\n]*(?<=\S)\$(?!\d)"  # formulas
)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|!\[.*?\]\(.*?\)", re.DOTALL)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)")
_PLAIN_LABEL = re.compile(r"[^\\`*_&<>\[\]\n|]*")


class Unplaced(Exception):  # noqa: N818 - says what happened, and never leaves the package
    """The tokens and the text do not fit together."""


@dataclass
class Inline:
    """The text of a block as markdown-it sees it, and the place of each of its characters.

    ``places`` has one more, for the end.
    """

    source: str
    text: str
    places: Sequence[int]
    is_cell: bool = False
    labels: list[Cut] = field(default_factory=list)
    """The alternative texts of images, found on the way."""

    def index(self, place: int) -> int:
        """The index in ``text`` of a place in the source."""
        return bisect_left(self.places, place)


def find_cuts(
    inline: Inline, tokens: Sequence[Token], references: Container[str]
) -> list[tuple[Cut, dict[str, str]]]:
    """The texts of a block, with how their special characters are spelled. Raises Unplaced."""
    walk = _Walk(inline, references)
    for token in tokens:
        walk.step(token)
    return walk.end()


class _Walk:
    """Goes through the text, token by token."""

    def __init__(self, inline: Inline, references: Container[str]) -> None:
        self._inline = inline
        self._text = inline.text
        self._references = references
        self._at = 0
        self._run = Run(inline.source)
        self._cuts: list[tuple[Cut, dict[str, str]]] = []
        self._links: list[tuple[bool, int]] = []
        """Whether each open link is an autolink, and where it begins."""
        self._kept: tuple[str, int] | None = None
        """The element whose contents are no language, and where it begins."""
        self._steps: dict[str, Callable[[Token], None]] = {
            "text": self._words,
            "text_special": self._special,
            "softbreak": self._softbreak,
            "hardbreak": self._hardbreak,
            "code_inline": self._code,
            "html_inline": self._tag,
            "link_open": self._link_open,
            "link_close": self._link_close,
            "image": self._image,
            **dict.fromkeys(("em_open", "strong_open", "s_open"), self._emphasis),
            **dict.fromkeys(("em_close", "strong_close", "s_close"), self._emphasis),
        }

    def step(self, token: Token) -> None:
        """Go past a token."""
        if self._links and self._links[-1][0] and token.type != "link_close":
            return  # the text of an autolink
        step = self._steps.get(token.type)
        if step is None:
            raise Unplaced(token.type)
        step(token)

    def end(self) -> list[tuple[Cut, dict[str, str]]]:
        """The texts that were found."""
        if self._at != len(self._text):
            raise Unplaced
        if self._kept is not None:
            start = self._kept[1]
            self._kept = None
            self._markup(start)
        self._cut()
        return self._cuts

    # What a token does

    def _words(self, token: Token) -> None:
        start = self._past(token.content)
        at_line = start == 0 or self._text[start - 1] == "\n"
        first = at_line and (
            _DIRECTIVE.match(self._text, start) or (start == 0 and _TASK.match(self._text, start))
        )
        if first and first.end() <= self._at:
            self._markup(start, "void", first.end())
            start = first.end()
        for match in _EXTRA.finditer(self._text, start, self._at):
            self._language(start, match.start())
            self._markup(match.start(), "content", match.end())
            start = match.end()
        self._language(start, self._at)

    def _special(self, token: Token) -> None:
        start = self._past(token.markup)
        if token.content == token.markup:  # a backslash that escapes nothing
            self._language(start, self._at)
        elif self._kept is None:
            add = self._run.character if token.info == "escape" else self._run.entity
            add(token.content, *self._span(start, self._at))

    def _softbreak(self, _: Token) -> None:
        start = self._past(_SOFT)
        line = self._text.rfind("\n", 0, start) + 1
        if _OWN_LINE.match(self._text, line) or _OWN_LINE.match(self._text, self._at):
            self._cut()
        elif self._kept is None:
            self._run.space(*self._span(start, self._at))

    def _hardbreak(self, _: Token) -> None:
        self._past(_HARD)
        self._cut()

    def _code(self, token: Token) -> None:
        start = self._past(token.markup)
        fence = re.compile(rf"(?<!`){token.markup}(?!`)")
        close = fence.search(self._text, self._at)
        if close is None:
            raise Unplaced
        self._at = close.end()
        self._markup(start)

    def _tag(self, token: Token) -> None:
        start = self._past(token.content)
        match = _TAG.match(token.content)
        name = match[2].lower() if match else ""
        if self._kept is not None:
            if match and match[1] and name == self._kept[0]:
                start = self._kept[1]
                self._kept = None
                self._markup(start)
        elif name == "br":
            self._cut()
        elif match and not match[1] and (name in UNTOUCHED or 'translate="no"' in token.content):
            self._kept = name, start
        else:
            self._markup(start, "void" if not match else "close" if match[1] else "open")

    def _emphasis(self, token: Token) -> None:
        self._markup(self._past(token.markup), "open" if token.nesting > 0 else "close")

    def _link_open(self, token: Token) -> None:
        if token.markup == "autolink":
            close = self._text.find(">", self._at)
            if self._text[self._at] != "<" or close < 0:
                raise Unplaced
            self._links.append((True, self._at))
            self._at = close + 1
        else:
            self._links.append((False, self._at))
            self._markup(self._past("["), "open")

    def _link_close(self, _: Token) -> None:
        is_auto, begin = self._links.pop()
        if is_auto:
            self._markup(begin)
            return
        start = self._at
        label = self._text[begin + 1 : start]
        self._at = self._past_target(start, label)
        if not has_letter(_CODE.sub("", label)):  # a link of code alone is a word of the sentence
            if self._kept is None:
                self._run.fold(*self._span(begin, self._at))
            return
        written = None
        if self._text[start : self._at] in ("]", "][]"):  # the text is the name of the target
            written = f"][{' '.join(label.split())}]"
        self._markup(start, "close", written=written)

    def _image(self, token: Token) -> None:
        start = self._past("![")
        label = self._past(token.content)
        end = self._at
        self._at = self._past_target(end, token.content)
        if self._text[end : self._at] not in ("]", "][]") and _PLAIN_LABEL.fullmatch(token.content):
            run = Run(self._inline.source)
            run.text(*self._span(label, end))
            cut = run.cut()
            if cut is not None and self._kept is None:
                self._inline.labels.append(cut)
        self._markup(start, "void")

    # How it is done

    def _past(self, what: str | re.Pattern[str]) -> int:
        """Go past what has to stand here, and return where it began. Raises Unplaced."""
        start = self._at
        if isinstance(what, str):
            if not self._text.startswith(what, start):
                raise Unplaced
            self._at += len(what)
        else:
            match = what.match(self._text, start)
            if match is None:
                raise Unplaced
            self._at = match.end()
        return start

    def _past_target(self, start: int, label: str) -> int:
        """Where a link or an image ends whose text ends at ``start``."""
        text, size = self._text, len(self._text)
        if not text.startswith("]", start):
            raise Unplaced
        if text.startswith("](", start):
            at = _past_space(text, start + 2)
            target = parseLinkDestination(text, at, size)
            if target.ok:
                at = _past_space(text, target.pos)
                title = parseLinkTitle(text, at, size)
                if title.ok and at > target.pos:
                    at = _past_space(text, title.pos)
            if text.startswith(")", at):
                return at + 1
        if text.startswith("][", start):
            close = text.find("]", start + 2)
            name = text[start + 2 : close] or label
            if close >= 0 and normalizeReference(name) in self._references:
                return close + 1
        return start + 1

    def _span(self, start: int, end: int) -> tuple[int, int]:
        """The places of ``text[start:end]`` in the source."""
        places = self._inline.places
        if start >= end:
            return places[start], places[start]
        return places[start], places[end - 1] + 1

    def _language(self, start: int, end: int) -> None:
        if self._kept is not None:
            return
        # In a table's cell a bar is spelled with a backslash.
        for part in re.finditer(
            r"[^|]+|\|" if self._inline.is_cell else r".+", self._text[start:end]
        ):
            place, until = self._span(start + part.start(), start + part.end())
            if self._inline.is_cell and part[0] == "|":
                self._run.character("|", place - 1, until)
            else:
                self._run.text(place, until)

    def _markup(
        self, start: int, role: Role = "content", end: int | None = None, written: str | None = None
    ) -> None:
        if self._kept is None:
            span = self._span(start, self._at if end is None else end)
            self._run.markup(*span, role, written=written)

    def _cut(self) -> None:
        run, self._run = self._run, Run(self._inline.source)
        cut = run.cut()
        if cut is not None:
            self._cuts.append((cut, run.spelled))


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n":
        at += 1
    return at


def shape(tokens: Sequence[Token]) -> list[tuple[str, ...]]:
    """What tokens say of the structure: all but language, in an order that leaves it free.

    A translation may turn two links around.
    """
    found: list[tuple[str, ...]] = []
    for token in tokens:
        children = token.children or []
        if token.type in ("code_inline", "html_inline"):
            found.append((token.type, " ".join(token.content.split())))
        elif token.type == "inline":
            found += [("inline", *kept) for kept in shape(children)]
        elif token.type not in ("text", "text_special", "softbreak"):
            attributes = (f"{name}={value}" for name, value in token.attrs.items() if name != "alt")
            found.append((token.type, token.markup, token.tag, *attributes))
    return sorted(found)
