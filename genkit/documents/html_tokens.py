"""HTML as tokens with their places: the standard library's parser, asked where it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

from genkit.errors import InputError, first_line

__all__ = ["Attribute", "Token", "attributes_of", "tokens_of"]

_TEMPLATE = re.compile(
    r"<\?(?:php|=).*?(?:\?>|\Z)|<%.*?%>|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL
)
"""Code of templates (PHP, ERB, Jinja): hidden from the parser, which takes ">" for an end."""
_BEGUN = re.compile(r"<[A-Za-z/!?]")
_RAW = (("open", "script"), ("open", "style"))
HIDDEN = "\ue0f0"
_ATTRIBUTE = re.compile(r"""([^\s=/>"'<]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""")


@dataclass(frozen=True, slots=True)
class Token:
    """A tag, a text or something else of ``source[start:end]``.

    ``kind`` is open, close, empty (``<br/>``), text, code (of a template) or other; ``name`` a tag's, in small letters.
    """

    kind: str
    start: int
    end: int
    name: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute's value, without quotes, at its place in the source."""

    name: str
    start: int
    end: int
    quote: str


class _Parser(HTMLParser):
    def __init__(self, starts: list[int]) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[str, int, str, dict[str, str]]] = []
        self._starts = starts

    def _add(self, kind: str, name: str = "", attributes: dict[str, str] | None = None) -> None:
        line, column = self.getpos()
        self.found.append((kind, self._starts[line - 1] + column, name, attributes or {}))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add("open", tag, {name: value or "" for name, value in attrs})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add("empty", tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        self._add("close", tag)

    def handle_data(self, data: str) -> None:
        self._add("text")

    def handle_entityref(self, name: str) -> None:
        self._add("text")

    def handle_charref(self, name: str) -> None:
        self._add("text")

    def handle_comment(self, data: str) -> None:
        self._add("other")

    def handle_decl(self, decl: str) -> None:
        self._add("other")

    def handle_pi(self, data: str) -> None:
        self._add("other")

    def unknown_decl(self, data: str) -> None:
        self._add("other")


def tokens_of(source: str) -> list[Token]:
    """The tokens of a source; one after the other they are all of it. Raises InputError."""
    hidden = _TEMPLATE.sub(_hide, source)
    # The parser counts line feeds only.
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    parser = _Parser(starts)
    try:
        parser.feed(hidden)
        parser.close()
    except (AssertionError, ValueError) as error:  # what it says of some broken declarations
        raise InputError(f"cannot be read as HTML: {first_line(error)}") from error
    found = parser.found
    if found and found[0][1] > 0:
        found.insert(0, ("other", 0, "", {}))
    ends = [start for _, start, _, _ in found[1:]] + [len(source)]
    tokens: list[Token] = []
    for (kind, start, name, attributes), end in zip(found, ends, strict=True):
        if kind == "text" and tokens and tokens[-1].kind == "text":
            tokens[-1] = Token("text", tokens[-1].start, end)
        else:
            tokens.append(Token(kind, start, end, name, attributes))
    tokens = _until_comment(hidden, tokens)
    whole = [part for token in tokens for part in _unfinished(hidden, token)]
    return [part for token in whole for part in _shown(hidden, token)]


def _until_comment(source: str, tokens: list[Token]) -> list[Token]:
    """The tokens up to a comment that never ends: the parser goes on in it, a browser does not."""
    begin = source.find("<!--", source.rfind("-->") + 1)
    if begin < 0:
        return tokens
    for index, token in enumerate(tokens):
        if token.kind == "text" and token.start <= begin < token.end:
            if index and (tokens[index - 1].kind, tokens[index - 1].name) in _RAW:
                break
            kept = [Token("text", token.start, begin)] if token.start < begin else []
            return [*tokens[:index], *kept, Token("other", begin, len(source))]
    return tokens


def _unfinished(source: str, token: Token) -> list[Token]:
    """A text token without what begins like a tag and is none: the parser gave up there."""
    begin = _BEGUN.search(source, token.start, token.end) if token.kind == "text" else None
    if begin is None:
        return [token]
    at = begin.start()
    return [Token("text", token.start, at), Token("other", at, token.end)]


def _hide(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", HIDDEN, match[0])


def _shown(hidden: str, token: Token) -> list[Token]:
    """A text token without the code of templates that is in it."""
    if token.kind != "text" or HIDDEN not in hidden[token.start : token.end]:
        return [token]
    cuts = {token.start, token.end}
    for match in re.finditer(rf"{HIDDEN}[{HIDDEN}\n]*", hidden[token.start : token.end]):
        end = match.end() - (len(match[0]) - len(match[0].rstrip("\n")))
        cuts |= {token.start + match.start(), token.start + end}
    return [
        Token("code" if hidden[start] == HIDDEN else "text", start, end)
        for start, end in pairwise(sorted(cuts))
    ]


def attributes_of(source: str, token: Token) -> list[Attribute]:
    """The attributes of a tag that have a value."""
    after_name = token.start + 1 + len(token.name)
    found = []
    for match in _ATTRIBUTE.finditer(source, after_name, token.end):
        for group, quote in ((2, '"'), (3, "'"), (4, "")):
            if match[group] is not None:
                found.append(Attribute(match[1].lower(), *match.span(group), quote))
    return found
