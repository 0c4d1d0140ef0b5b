"""What stands around a sentence: bullets, quotes, brackets, markup. It is set aside."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genkit.text.pairs import partners
from genkit.text.spans import Role, Span

__all__ = ["core"]

# White space and what cannot be seen.
_BLANK = re.compile(r"[\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_BULLET = re.compile(
    r"(?:[-*+•‣◦·●○■□▪▫–—―→»]+|>+|\#{1,6}|={1,6}|:|\$|>>>|"
    r"\(?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,4})\)|(?:\d{1,3}(?:\.\d{1,3})*|[A-HJ-Z]|[ivx]{2,4}|[IVX]{2,4})\.|[-•]?\s?\[[ xX✓]\])(?=\s|\Z)|"
    r"[-–—•]+(?=[^\W\d_])|>+|\|+|\.{2,}|…"
)
_OPENING = {
    '"': '"', "'": "'", "“": "”", "„": "“”", "‘": "’", "‚": "‘’", "«": "»", "»": "«", "‹": "›",
    "›": "‹", "(": ")", "[": "]", "{": "}", "<": ">", "`": "`", "*": "*", "_": "_", "「": "」",
    "『": "』", "（": "）", "【": "】", "¿": "?", "¡": "!",
}  # fmt: skip
_CLOSING = frozenset("\"'”“’»›)]}>`*_」』）】«‹")
_STOPS = re.compile(r"[.!?,;:…]*\Z")
_TAIL = re.compile(r"(?:[\s\u200b-\u200f\u2060\ufeff|#=:;,–—-]|(?<=\s)[*+>]|\|)+\Z")
MOST_LAYERS = 16
"""Brackets within brackets that are set aside."""
_ONLY_ALONE = "'’‘‚`"
"""These are set aside in pairs only: they are apostrophes as well."""


def core(text: str, spans: Sequence[Span]) -> tuple[int, int]:
    """Where in a sentence the words begin and end: what is to be translated."""
    start, end = 0, len(text)
    begins, ends = _Marks(text, spans, 0), _Marks(text, spans, 1)
    for _ in range(MOST_LAYERS):
        before = start, end
        start = _lead(text, start, end, begins)
        end = _trail(text, start, end, ends)
        start, end = _peel(text, start, end, spans)
        if (start, end) == before or start >= end:
            break
    for span in spans:  # no span is cut
        if span.start < start < span.end:
            start = span.start
        if span.start < end < span.end:
            end = span.end
    return min(start, end), end


class _Marks:
    """The spans by where they begin (0) or end (1)."""

    def __init__(self, text: str, spans: Sequence[Span], by: int) -> None:
        self._text = text
        self._by_place = {span[by]: span for span in spans}
        self._partners = partners(spans) if len(spans) > 1 else {}
        self._spans = spans

    def get(self, place: int) -> Span | None:
        """The span that begins or ends there."""
        return self._by_place.get(place)

    def is_loose(self, span: Span, start: int, end: int) -> bool:
        """Whether a span can be set aside: a mark, and its partner is set aside as well."""
        if span.role is Role.NOUN:
            return False
        partner = self._partners.get(span.start)
        if partner is None or partner.end <= start or partner.start >= end:
            return True
        rest = (partner.end, end) if partner.start > span.start else (start, partner.start)
        return not self._has_words(*rest)

    def _has_words(self, start: int, end: int) -> bool:
        for span in self._spans:
            if start <= span.start < end:
                if span.role is Role.NOUN or self._has_words(start, span.start):
                    return True
                start = span.end
        return any(map(str.isalnum, self._text[start:end]))


def _lead(text: str, start: int, end: int, spans: _Marks) -> int:
    while start < end:
        if match := _BLANK.match(text, start, end):
            start = match.end()
            continue
        span = spans.get(start)
        if span is not None and spans.is_loose(span, start, end):
            start = span.end
        elif (match := _BULLET.match(text, start, end)) and _is_free(match, span):
            start = match.end()
        else:
            break
    return min(start, end)


def _is_free(match: re.Match[str], span: Span | None) -> bool:
    """A number is a bullet only with its stop; ``-5`` and ``--flag`` are none."""
    return span is None or span.end < match.end()


def _trail(text: str, start: int, end: int, spans: _Marks) -> int:
    while start < end:
        span = spans.get(end)
        if span is not None:
            if not spans.is_loose(span, start, end):
                break
            end = span.start
        elif match := _TAIL.search(text, max(start, end - 200), end):
            end = match.start()
        elif (stops := _STOPS.search(text, max(start, end - 20), end)) and stops.start() < end:
            # A mark that stands before the stop: the stop goes with it.
            span = spans.get(stops.start())
            if span is None or not spans.is_loose(span, start, end):
                break
            end = span.start
        else:
            break
    return max(end, start)


def _peel(text: str, start: int, end: int, spans: Sequence[Span]) -> tuple[int, int]:
    """Without a bracket or quote at either end whose partner is at the other, or nowhere."""
    if start >= end:
        return start, end
    taken = [span for span in spans if start <= span.start and span.end <= end]
    first, last = text[start], text[end - 1]
    if first in _OPENING and not any(span.start == start for span in taken):
        closing = _OPENING[first]
        partners = _positions(text, closing, start + 1, end, taken)
        stops = _STOPS.search(text, start, end)
        stop = stops.start() if stops else end
        if closing in "?!":
            return start + 1, end
        if partners and partners[-1] == stop - 1 and _matches(text, first, partners, start):
            return start + 1, stop - 1
        if not partners and first not in _ONLY_ALONE:
            return start + 1, end
    elif last in _CLOSING and last not in _ONLY_ALONE:
        opening = {key for key, value in _OPENING.items() if last in value} | {last}
        inside = _positions(text, "".join(opening), start, end - 1, taken)
        if not inside and not any(span.end == end for span in taken):
            return start, end - 1
    return start, end


def _positions(text: str, chars: str, start: int, end: int, spans: Sequence[Span]) -> list[int]:
    return [
        i
        for i in range(start, end)
        if text[i] in chars and not any(span.start <= i < span.end for span in spans)
    ]


def _matches(text: str, first: str, partners: Sequence[int], start: int) -> bool:
    """Whether the last partner is that of the first character."""
    if first in _OPENING[first]:
        return len(partners) == 1
    depth = 1
    for i in range(start + 1, partners[-1]):
        depth += (text[i] == first) - (text[i] in _OPENING[first])
        if not depth:
            return False
    return depth == 1
