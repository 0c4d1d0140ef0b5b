"""Segments: pieces of language with markup between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

__all__ = ["Document", "Markup", "Piece", "Segment", "has_letter", "in_order"]

Role = Literal["open", "close", "void", "content"]


@dataclass(frozen=True, slots=True)
class Markup:
    """Something inside a segment that is no language and has to come back as it is.

    ``text`` is what the model is shown of it, one line without edges of white space. ``start``
    and ``end`` are its place in the source. ``written`` is what stands for it in a changed
    segment, where that is not the source itself. ``content`` is part of the sentence (code, a
    name); the other roles only format what is around them.
    """

    text: str
    start: int
    end: int
    role: Role = "content"
    name: str = ""
    written: str | None = None


Piece: TypeAlias = str | Markup


def _accepts(_: Sequence[Piece]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Segment:
    """What is translated as one text.

    ``line`` is where it stands, from 1 (0 in files that have no lines). ``accepts`` tells
    whether the file would keep its structure with these pieces in the place of ``pieces``.
    """

    pieces: tuple[Piece, ...]
    line: int = 0
    accepts: Callable[[Sequence[Piece]], bool] = field(default=_accepts, compare=False)

    @property
    def text(self) -> str:
        """The pieces, joined: what the model translates."""
        return "".join(p if isinstance(p, str) else p.text for p in self.pieces)

    @property
    def markup(self) -> list[Markup]:
        """The pieces that are no language, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Markup)]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where the markup stands in ``text``."""
        spans, at = [], 0
        for piece in self.pieces:
            end = at + len(piece if isinstance(piece, str) else piece.text)
            if isinstance(piece, Markup):
                spans.append((at, end))
            at = end
        return spans

    def pieces_of(self, translation: str) -> list[Piece] | None:
        """A translation of ``text`` in pieces; None unless each markup is in it once."""
        markup = self.markup
        if not markup:
            return [translation]
        waiting: dict[str, list[Markup]] = {}
        for one in markup:
            waiting.setdefault(one.text, []).append(one)
        longest_first = sorted(waiting, key=len, reverse=True)
        pieces: list[Piece] = []
        for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", translation):
            if part in waiting:
                if not waiting[part]:
                    return None
                pieces.append(waiting[part].pop(0))
            elif part:
                pieces.append(part)
        return None if any(waiting.values()) else pieces


class Document(Protocol):
    """A file that was taken apart."""

    @property
    def segments(self) -> Sequence[Segment]:
        """What can be translated, in order."""

    def render(self, translations: Sequence[Sequence[Piece] | None]) -> bytes:
        """The file with the translation of each segment; None leaves one as it is.

        Raises InputError if the file's encoding has no such characters.
        """


def has_letter(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(map(str.isalpha, text))


def in_order(pieces: Sequence[Piece], source: Sequence[Piece]) -> bool:
    """Whether what formats a text comes in the order of the source; content may move."""
    return [p for p in pieces if _formats(p)] == [p for p in source if _formats(p)]


def _formats(piece: Piece) -> bool:
    return isinstance(piece, Markup) and piece.role != "content"
