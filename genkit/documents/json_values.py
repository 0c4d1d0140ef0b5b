"""JSON: the strings that are values. Keys, numbers, layout and the spelling stay.

A file may hold several values one after the other (JSON Lines).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from genkit.documents.segment import Markup, Piece, Segment, has_letter
from genkit.documents.source import Edit, SourceDocument, decode, line_of, line_starts
from genkit.errors import InputError

__all__ = ["parse"]

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_KEY = re.compile(r"[ \t\r\n]*:")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPED = re.compile(r"\\u[0-9a-fA-F]{4}")


def parse(data: bytes) -> SourceDocument:
    """Take JSON apart. Raises InputError."""
    source, encoding = decode(data)
    _validate(source)
    starts = line_starts(source)
    # As the file does it: a file that is ASCII by its escapes stays so.
    ascii_only = source.isascii() and _ESCAPED.search(source) is not None
    edits = []
    for token in _STRING.finditer(source):
        if _KEY.match(source, token.end()):
            continue
        text = json.loads(token[0], strict=False)
        if has_letter(text) and not _SURROGATE.search(text):
            write = _writer(ascii_only, slashes="\\/" in token[0])
            segment = Segment((text,), line_of(starts, token.start()))
            edits.append(Edit(segment, token.start() + 1, token.end() - 1, write))
    return SourceDocument(source, encoding, edits)


def _validate(source: str) -> None:
    try:
        for _ in _values(source):
            pass
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise InputError("this JSON is nested too deeply") from error


def _values(source: str) -> Iterator[object]:
    decoder = json.JSONDecoder()
    at = len(_SPACE.match(source)[0])  # type: ignore[index]
    if at == len(source):
        raise json.JSONDecodeError("it is empty", source, at)
    while at < len(source):
        value, end = decoder.raw_decode(source, at)
        yield value
        gap = _SPACE.match(source, end)
        assert gap is not None
        at = gap.end()
        if at < len(source) and "\n" not in gap[0]:
            raise json.JSONDecodeError("Extra data", source, at)


def _writer(
    ascii_only: bool, slashes: bool
) -> Callable[[Sequence[Piece], Callable[[Markup], str]], str]:
    def write(pieces: Sequence[Piece], spell: Callable[[Markup], str]) -> str:
        text = "".join(p if isinstance(p, str) else p.text for p in pieces)
        token = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        return token.replace("/", "\\/") if slashes else token

    return write
