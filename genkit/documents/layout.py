"""Lines of a translated paragraph: broken again where the source's were about as long."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from genkit.documents.segment import Markup, Piece

__all__ = ["balance", "join", "wrap"]

_BREAK = "\0"
"""Stands for a space of the language, at which a line may end; no source has it."""


def join(
    pieces: Sequence[Piece], spell: Callable[[Markup], str], escape: Callable[[str], str] = str
) -> str:
    """The source of some pieces as one line, with ``\\0`` for spaces where it may be broken."""
    return "".join(
        escape(piece).replace(" ", _BREAK) if isinstance(piece, str) else spell(piece)
        for piece in pieces
    )


def wrap(
    joined: str,
    *,
    width: int | None = None,
    first: int = 0,
    between: str = "\n",
    forbidden: re.Pattern[str] | None = None,
) -> str:
    """Break what ``join`` made into lines of at most ``width`` characters, if it can be.

    Without a width it stays one line. ``first`` is the column where it begins, and ``between``
    stands between two lines: a line end and what the next line begins with. A line never
    begins with what ``forbidden`` matches.
    """
    if width is None:
        return joined.replace(_BREAK, " ")
    words = re.split(f"{_BREAK}+", joined)
    indent = len(re.split(r"[\r\n]", between)[-1])
    lines = [words[0]]
    column = first + len(words[0])
    for word in words[1:]:
        fits = column + 1 + len(word) <= width
        # A backslash before a line end means something in Markdown.
        stays = fits or not lines[-1] or lines[-1].endswith("\\")
        if not stays and not (forbidden and forbidden.match(word)):
            lines.append(word)
            column = indent + len(word)
        else:
            lines[-1] += " " + word
            column += 1 + len(word)
        if "\n" in word:  # code that goes over lines
            column = len(word) - word.rindex("\n") - 1
    return between.join(lines)


def balance(
    joined: str, count: int, between: str = "\n", *, seen: Callable[[str], int] = len
) -> str:
    """Break what ``join`` made into at most ``count`` lines of about the same length.

    ``seen`` is how long a word looks: tags take no room on a screen.
    """
    words = [(word, seen(word)) for word in joined.split(_BREAK)]
    lines: list[str] = []
    left = sum(length + 1 for _, length in words)
    while words:
        aim = left / max(1, count - len(lines))
        line, used = words.pop(0)
        while words and (len(lines) + 1 >= count or used + 1 + words[0][1] / 2 <= aim):
            word, length = words.pop(0)
            line += " " + word
            used += 1 + length
        lines.append(line)
        left -= used + 1
    return between.join(lines)
