"""A stretch of source on its way to be a segment: its pieces, each with its place."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from html.entities import html5
from typing import NamedTuple

from genkit.documents.segment import Markup, Piece, Role, has_letter

__all__ = ["Cut", "Run", "escaper"]

_WORDS = re.compile(r"[ \t\r\n\f]+|[^ \t\r\n\f]+")
_ENTITY = re.compile(
    r"&(?:lt|#60|#[xX]3[cC]);/?[A-Za-z][\w.:-]*(?:>|&(?:gt|#62|#[xX]3[eE]);)"  # a tag that is shown
    r"|&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);"
)
_BARE = re.compile(
    "&(?:"
    + "|".join(sorted((n for n in html5 if not n.endswith(";")), key=len, reverse=True))
    + ")(?![;=])"
)
"""Entities of HTML that browsers read without their semicolon."""
_ALWAYS = {"&": "&amp;", "<": "&lt;"}
_MEANT = re.compile(r"&(?=[\w#])|<(?=[A-Za-z/!?])")


class Cut(NamedTuple):
    """What a segment is made of, and where it stands in the source."""

    pieces: tuple[Piece, ...]
    start: int
    end: int


@dataclass
class Run:
    """Collects pieces of ``source``, in order.

    ``spelled`` has the characters that the source spelled by entities or escapes, and ``bare``
    those of SGML's marks that stand in it as they are.
    """

    source: str
    spelled: dict[str, str] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)
    _placed: list[tuple[Piece, int, int]] = field(default_factory=list)

    def text(self, start: int, end: int) -> None:
        """Add language. White space is one space to the model, line ends too."""
        for match in _WORDS.finditer(self.source, start, end):
            word = " " if match[0].isspace() and match[0][0] in " \t\r\n\f" else match[0]
            self.bare |= _ALWAYS.keys() & set(word)
            self._placed.append((word, match.start(), match.end()))

    def space(self, start: int, end: int) -> None:
        """Add what is a space to the model, whatever it is in the source."""
        self._placed.append((" ", start, end))

    def character(self, char: str, start: int, end: int) -> None:
        """Add a character that the source spells in another way."""
        self.spelled.setdefault(char, self.source[start:end])
        self._placed.append((char, start, end))

    def markup(
        self,
        start: int,
        end: int,
        role: Role = "content",
        name: str = "",
        written: str | None = None,
    ) -> None:
        """Add what is no language."""
        shown = " ".join(self.source[start:end].split()) or " "
        self._placed.append((Markup(shown, start, end, role, name, written), start, end))

    def entities(self, start: int, end: int, *, bare: bool = False) -> None:
        """Add language with SGML's entities in it; ``bare`` ones have no semicolon, as in HTML.

        Those that are part of a word or quote it (``caf&eacute;``, ``don&rsquo;t``) are
        characters to the model. The others (``&amp;``, ``&nbsp;``, ``&copy;``) are kept.
        """
        found = list(_ENTITY.finditer(self.source, start, end))
        if bare:
            starts = {match.start() for match in found}
            found += [m for m in _BARE.finditer(self.source, start, end) if m.start() not in starts]
            found.sort(key=re.Match.start)
        for match in found:
            char = html.unescape(match[0])
            if char == match[0]:
                continue  # there is no such entity
            self.text(start, match.start())
            start = match.end()
            self.entity(char, match.start(), start)
        self.text(start, end)

    def entity(self, char: str, start: int, end: int) -> None:
        """Add an entity that stands for ``char``."""
        if len(char) == 1 and _is_language(char):
            self.character(char, start, end)
        else:
            self.markup(start, end)

    def fold(self, start: int, end: int) -> None:
        """Make one markup of what was added from ``start`` on."""
        while self._placed and self._placed[-1][1] >= start:
            self._placed.pop()
        self.markup(start, end)

    def cut(self) -> Cut | None:
        """What was collected, without what stands at its edges and is no part of the sentence.

        That is white space, and markup that formats all of it: ``**A whole sentence.**``. None
        if there is nothing to translate. The next run begins empty.
        """
        placed, self._placed = self._placed, []
        while placed and _is_edge(placed[0][0]):
            placed.pop(0)
        while placed and _is_edge(placed[-1][0]):
            placed.pop()
        if not any(isinstance(piece, str) and has_letter(piece) for piece, _, _ in placed):
            return None
        pieces: list[Piece] = []
        for piece, _, _ in placed:
            if pieces and isinstance(piece, str) and isinstance(before := pieces[-1], str):
                if piece != " " or not before.endswith(" "):
                    pieces[-1] = before + piece
            else:
                pieces.append(piece)
        return Cut(tuple(pieces), placed[0][1], placed[-1][2])


def _is_edge(piece: Piece) -> bool:
    return (
        piece == " "
        if isinstance(piece, str)
        else piece.role != "content" and piece.written is None
    )


def _is_language(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] == "L" or category in ("Pi", "Pf") or char in "\"'"


def escaper(run: Run) -> Callable[[str], str]:
    """What spells text in SGML, as this run's source does.

    Characters that it has as entities are spelled so, and ``&`` and ``<`` as they stand only
    where it has them so, and where they mean nothing.
    """
    table = {**_ALWAYS, **run.spelled}
    pattern = re.compile(f"[{re.escape(''.join(table))}]")

    def spell(match: re.Match[str]) -> str:
        char = match[0]
        stays = char in run.bare and not _MEANT.match(match.string, match.start())
        return char if stays and char not in run.spelled else table[char]

    # What would end a comment that the source has begun somewhere.
    return lambda text: pattern.sub(spell, text).replace("-->", "--&gt;")
