"""What the flags of a message in a PO file say: which placeholders it has."""

from __future__ import annotations

import re
from collections.abc import Iterable

from genkit.documents.segment import Markup, Piece

__all__ = ["join_mnemonic", "spans_of", "split_mnemonic"]

_PRINTF = re.compile(
    r"%(?:\d+\$)?(?:\([^)]*\))?[-+ #0'I]*(?:\*|\d+)?(?:\.(?:\*|\d+)?)?"
    r"(?:hh|h|ll|l|L|q|j|z|t)?(?:<[A-Za-z0-9]+>|[diouxXeEfFgGaAcCsSpnmr@%])"
)
_BRACE = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
_QT = re.compile(r"%(?:L?\d{1,2}|n)")
_SHELL = re.compile(r"\$(?:\{\w+\}|\w+)")
FORMATS = {
    "c-format": _PRINTF,
    "objc-format": _PRINTF,
    "python-format": _PRINTF,
    "php-format": _PRINTF,
    "gcc-internal-format": _PRINTF,
    "gfc-internal-format": _PRINTF,
    "lua-format": _PRINTF,
    "ruby-format": _PRINTF,
    "javascript-format": _PRINTF,
    "boost-format": re.compile(r"%\|[^|]*\||%\d+%|" + _PRINTF.pattern),
    "python-brace-format": _BRACE,
    "csharp-format": _BRACE,
    "java-format": _BRACE,
    "perl-brace-format": _BRACE,
    "qt-format": _QT,
    "qt-plural-format": _QT,
    "kde-format": _QT,
    "sh-format": _SHELL,
}
"""The flag of a message -> its placeholders."""
_NAMED = re.compile(r"%\d+\$|%\(|%\||%L?\d{1,2}%?$|\{[^{}]|\$|%%$|%n$|\{\{|\}\}")
_MNEMONIC = re.compile(r"(?<![\w&_])([_&])(?=[^\W\d_])")


def spans_of(text: str, flags: Iterable[str]) -> tuple[tuple[Piece, ...], bool]:
    """A message in pieces, and whether its placeholders have to keep their order.

    They do where they have no names or numbers: ``%s of %s``.
    """
    pattern = next((FORMATS[flag] for flag in flags if flag in FORMATS), None)
    if pattern is None:
        return (text,), False
    pieces: list[Piece] = []
    last = 0
    for match in pattern.finditer(text):
        if text[last : match.start()]:
            pieces.append(text[last : match.start()])
        pieces.append(Markup(match[0], *match.span()))
        last = match.end()
    if text[last:]:
        pieces.append(text[last:])
    markup = [piece.text for piece in pieces if isinstance(piece, Markup)]
    return tuple(pieces), not all(map(_NAMED.match, markup))


def split_mnemonic(text: str) -> tuple[str, str, str]:
    """A label without the mark of its access key (``_File``, ``&File``), the mark and the key."""
    found = _MNEMONIC.findall(text)
    if len(found) != 1 or text.count(found[0]) != 1:
        return text, "", ""
    at = text.index(found[0])
    return text[:at] + text[at + 1 :], found[0], text[at + 1]


def join_mnemonic(text: str, mark: str, key: str) -> str:
    """Put the mark of an access key into a label: before the same letter, or the first one."""
    if not mark:
        return text
    same = re.search(rf"\b{re.escape(key)}", text, re.IGNORECASE) or re.search(
        re.escape(key), text, re.IGNORECASE
    )
    found = same or re.search(r"[^\W\d_]", text)
    return text if found is None else text[: found.start()] + mark + text[found.start() :]
