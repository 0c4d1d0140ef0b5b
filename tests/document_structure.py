"""What must not change in a document, as other programs than ours see it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import polib
import srt
from markdown_it import MarkdownIt
from markdown_it.token import Token  # noqa: TC002

READ = ("alt", "title", "placeholder", "aria-label", "content", "value")


def markdown(data: bytes) -> list[Any]:
    """The tokens without language."""
    text = re.sub(r"\A---\n.*?\n---\n", "", data.decode(), flags=re.DOTALL)
    front = data.decode()[: len(data.decode()) - len(text)]
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return [front, *_tokens(parser.parse(text))]


def _tokens(tokens: list[Token]) -> list[Any]:
    found: list[Any] = []
    for token in tokens:
        if token.type in ("text", "softbreak"):
            continue
        attributes = {k: v for k, v in token.attrs.items() if k != "alt"}
        code = token.type in ("code_inline", "html_inline", "html_block", "fence", "code_block")
        content = token.content if code else None
        found.append((token.type, token.tag, token.markup, token.info, attributes, content))
        if token.type == "inline":
            found += _tokens(token.children or [])
    return found


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[Any] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = tuple((name, None if name in READ else value) for name, value in attrs)
        self.found.append((tag, kept))
        self._script = tag in ("script", "style", "pre", "code")

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")
        self._script = False

    def handle_entityref(self, name: str) -> None:
        if name == "nbsp":  # the others spell characters of the text
            self.found.append(f"&{name}")

    def handle_data(self, data: str) -> None:
        if self._script:
            self.found.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def handle_pi(self, data: str) -> None:
        self.found.append(data)


def html(data: bytes) -> list[Any]:
    """Tags with what is not read of their attributes, entities, comments, code."""
    parser = _Tags()
    parser.feed(data.decode())
    parser.close()
    return parser.found


def subtitles(data: bytes) -> list[Any]:
    """Numbers, times, positions and tags."""
    cues = srt.parse(data.decode(), ignore_errors=False)
    return [
        (cue.index, cue.start, cue.end, cue.proprietary, re.findall(r"<.*?>|\{.*?\}", cue.content))
        for cue in cues
    ]


def vtt(data: bytes) -> list[Any]:
    """Every line that is no text of a cue, and tags and entities of these."""
    blocks = re.split(r"\n\n+", data.decode().strip())
    found: list[Any] = []
    for block in blocks:
        head, arrow, text = block.partition("-->")
        settings, _, cue = text.partition("\n")
        found.append((head, settings, re.findall(r"<.*?>|&\w+;", cue)) if arrow else block)
    return found


def po(data: bytes) -> list[Any]:
    """Everything but translations and the mark of machine-made ones."""
    entries = polib.pofile(data.decode())
    return [
        entries.header,
        entries.metadata,
        *(
            (e.msgid, e.msgid_plural, e.msgctxt, e.comment, e.tcomment, e.occurrences, e.obsolete,
             e.previous_msgid, [f for f in e.flags if f != "fuzzy"], sorted(e.msgstr_plural))
            for e in entries
        ),
    ]  # fmt: skip


def json_values(data: bytes) -> Any:
    """The value with all strings empty that are no keys."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return [(key, without(inner)) for key, inner in value.items()]
        if isinstance(value, list):
            return [without(inner) for inner in value]
        return "" if isinstance(value, str) else value

    return without(json.loads(data))


def text(data: bytes) -> int:
    """The number of paragraphs."""
    return len(re.findall(rb"\n(?=\n)", data))


STRUCTURES: dict[str, Callable[[bytes], Any]] = {
    ".md": markdown,
    ".html": html,
    ".srt": subtitles,
    ".vtt": vtt,
    ".po": po,
    ".json": json_values,
    ".txt": text,
}
