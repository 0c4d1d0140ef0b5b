"""What of a sentence a translation has to have, or ought to have, besides its spans."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genkit.text.spelling import has_letter

__all__ = [
    "MARKS",
    "has_kept_marks",
    "has_own_numbers",
    "is_watched",
    "preferred",
    "split_at_marks",
]

MARKS = "()[]{}`"
"""Marks that are never left out: a bracket alone is no punctuation."""
_MARK = re.compile(f"[{re.escape(MARKS)}]")
_QUOTES = re.compile('["\u201c\u201d\u201e\u00ab\u00bb]')
_CUT = re.compile(f'([{re.escape(MARKS)}"\u201c\u201d\u201e\u00ab\u00bb]+)')
_ENDING = re.compile(r"(?<=\w)\(\w{1,3}\)")
"""``file(s)``: a German plural may need no bracket for it."""
_NUMBER = re.compile(r"\d+")
_WATCHED = re.compile(f'[{re.escape(MARKS)}"\u201c\u201d\u201e\u00ab\u00bb0-9]')
_NOON = re.compile(r"\d\s?[ap]\.?m\b", re.IGNORECASE)


def is_watched(text: str) -> bool:
    """Whether a text has something that a translation could lose or invent."""
    return _WATCHED.search(text) is not None


def has_kept_marks(source: str, translation: str) -> bool:
    """Whether a translation has words where its source has some, as many brackets of each kind, and
    no quote that is not closed.
    """
    if has_letter(source) and not has_letter(translation):
        return False
    if not _count(source) % 2 and _count(translation) % 2:
        return False
    if _MARK.search(source) is None and _MARK.search(translation) is None:
        return True
    source, translation = _ENDING.sub("", source), _ENDING.sub("", translation)
    return all(source.count(mark) == translation.count(mark) for mark in MARKS)


def has_own_numbers(source: str, translation: str) -> bool:
    """Whether no number of a translation is invented, as far as digits tell.

    A source without digits proves nothing: it may spell its numbers out. Hours may be counted to 24.
    """
    own = set(_NUMBER.findall(source))
    if not own or _NOON.search(source):
        return True
    return own.issuperset(_NUMBER.findall(translation))


def preferred(source: str, translations: Sequence[str | None]) -> list[str | None]:
    """The translations that have the quotes and numbers of their source, if there are such."""
    quotes = _count(source)

    def fits(translation: str | None) -> bool:
        return (
            translation is not None
            and _count(translation) == quotes
            and has_own_numbers(source, translation)
        )

    chosen = [translation if fits(translation) else None for translation in translations]
    return list(translations) if all(text is None for text in chosen) else chosen


def split_at_marks(text: str) -> list[str]:
    """A text cut on either side of its marks and quotes: joined, the pieces are the text."""
    return [piece for piece in _CUT.split(text) if piece]


def _count(text: str) -> int:
    return len(_QUOTES.findall(text))
