"""Terms whose translation is laid down: kept as they are, or replaced."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from genkit.documents.segment import Markup, Piece, Segment
from genkit.errors import UsageError

__all__ = ["Glossary"]

_TERM = "term"
_START = re.compile(r"(?:\A|[.!?:…]\s)[\s\"'“„‘«»(\[¿¡*-]*\Z")


@dataclass(frozen=True)
class Glossary:
    """Terms and their translations; an empty one keeps the term.

    Terms are found as whole words, in the spelling of the glossary, longer ones first. One in
    small letters is also found with a capital where a sentence begins, and its translation then
    gets one.
    """

    terms: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Glossary:
        """Read a file of lines: a term, a tab and its translation. Raises UsageError."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: a glossary has to be UTF-8") from error
        terms: dict[str, str] = {}
        for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
            term, *translations = (part.strip() for part in line.split("\t"))
            if not term and not any(translations):
                continue
            where = f"{path}: line {number}"
            if not term:
                raise UsageError(f"{where} has a translation without a term")
            if len(translations) > 1:
                raise UsageError(
                    f"{where} has {line.count(chr(9))} tabs", hint="TERM<tab>TRANSLATION"
                )
            translation = translations[0] if translations else ""
            if terms.get(term, translation) != translation:
                raise UsageError(f"{where}: {term!r} has another translation further up")
            terms[term] = translation
        if not terms:
            raise UsageError(f"{path}: the glossary is empty", hint="lines of TERM<tab>TRANSLATION")
        return cls(terms)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        spelled = []
        for term in sorted(self.terms, key=len, reverse=True):
            words = r"\s+".join(map(re.escape, term.split()))
            first = re.escape(term[0])
            if _capital(term) != term:
                words = f"(?:{first}|{re.escape(_capital(term[0]))}){words[len(first) :]}"
            before = r"(?<!\w)" if term[0].isalnum() or term[0] == "_" else ""
            after = r"(?!\w)" if term[-1].isalnum() or term[-1] == "_" else ""
            spelled.append(f"{before}{words}{after}")
        return re.compile("|".join(spelled))

    def apply(self, segment: Segment) -> Segment:
        """The same with markup in place of the terms, which shows the model their translations.

        ``restore`` makes text of it again.
        """
        pieces: list[Piece] = []
        before = ""
        for piece in segment.pieces:
            if isinstance(piece, str):
                pieces += self._split(piece, before)
                before += piece
            else:
                pieces.append(piece)
                before += "x" if piece.role == "content" else ""
        return replace(segment, pieces=tuple(pieces))

    def _split(self, text: str, before: str) -> list[Piece]:
        pieces: list[Piece] = []
        last = 0
        for match in self._pattern.finditer(text):
            found = self._translation(match[0], before + text[: match.start()])
            if found is None:
                continue
            if text[last : match.start()]:
                pieces.append(text[last : match.start()])
            pieces.append(Markup(found, 0, 0, "content", _TERM))
            last = match.end()
        return [*pieces, text[last:]] if text[last:] else pieces

    def _translation(self, found: str, before: str) -> str | None:
        term = " ".join(found.split())
        if term in self.terms:
            return self.terms[term] or found
        if not _START.search(before):
            return None
        term = term[0].lower() + term[1:]
        return _capital(self.terms[term] or found) if term in self.terms else None

    @staticmethod
    def restore(pieces: Sequence[Piece]) -> list[Piece]:
        """Pieces in which terms are text again."""
        joined: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, Markup) and piece.name == _TERM:
                piece = piece.text
            if isinstance(piece, str) and joined and isinstance(before := joined[-1], str):
                joined[-1] = before + piece
            else:
                joined.append(piece)
        return joined


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
