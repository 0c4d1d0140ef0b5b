"""Marks in pairs, such as ``<b>`` and ``</b>``: put back around what became of their words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from genkit.text.spans import Role, Span

__all__ = ["Pair", "find_pairs", "partners", "wrap"]


class Pair(NamedTuple):
    """Places of an opening and a closing mark among the segments of a sentence."""

    opening: int
    closing: int


def find_pairs(segments: Sequence[str | Span]) -> list[Pair]:
    """The pairs of a sentence, the inner ones first; nothing if a mark has no partner."""
    pairs: list[Pair] = []
    waiting: list[int] = []
    for i, segment in enumerate(segments):
        if isinstance(segment, str) or segment.role is not Role.MARK or not segment.side:
            continue
        if segment.side > 0:
            waiting.append(i)
        elif waiting and _match(segments[waiting[-1]], segment):
            pairs.append(Pair(waiting.pop(), i))
        else:
            return []
    return [] if waiting else pairs


def _match(opening: str | Span, closing: Span) -> bool:
    assert not isinstance(opening, str)
    first, last = opening.text, closing.text
    if first.startswith("<"):
        names = re.findall(r"<([A-Za-z][\w:.-]*)", first)
        return names[::-1] == re.findall(r"</([A-Za-z][\w:.-]*)", last)
    if first in ("[", "!["):
        return last.startswith("]")
    return first.startswith("\x1b") == last.startswith("\x1b") and (
        first.startswith("\x1b") or first == last[::-1]
    )


def partners(spans: Sequence[Span]) -> dict[int, Span]:
    """Start of a mark -> the mark that belongs to it."""
    found: dict[int, Span] = {}
    waiting: list[Span] = []
    for span in spans:
        if span.role is Role.MARK and span.side > 0:
            waiting.append(span)
        elif span.role is Role.MARK and span.side < 0 and waiting and _match(waiting[-1], span):
            opening = waiting.pop()
            found[opening.start], found[span.start] = span, opening
    return found


def wrap(text: str, inner: Sequence[tuple[Span, Span, Sequence[str], str]]) -> str | None:
    """A translation with its marks: None if one cannot be told where it belongs.

    ``inner`` has for each pair its marks, what their words may have become, the likeliest first,
    and what stands at the end of the words in the source (``:``).
    """
    places: list[tuple[int, int, Span, Span]] = []
    for opening, closing, choices, tail in inner:
        place = _find(text, choices, tail)
        if place is None:
            return None
        places.append((*place, opening, closing))
    for a in places:
        for b in places:
            if a[0] < b[0] < a[1] < b[1]:
                return None  # they cross
    starts = [place[:2] for place in places]
    if len(set(starts)) != len(starts):
        return None
    # Of marks at one place, inner ones stand nearer to the words; an end comes before a begin.
    marks = [(start, 1, -end, o.text) for start, end, o, _ in places]
    marks += [(end, 0, -start, c.text) for start, end, _, c in places]
    parts = []
    done = 0
    for position, _, _, mark in sorted(marks):
        parts += [text[done:position], mark]
        done = position
    return "".join(parts) + text[done:]


def _find(text: str, choices: Sequence[str], tail: str) -> tuple[int, int] | None:
    for ending in (0, 1, 2):
        for choice in choices:
            stem = choice[: len(choice) - max(0, ending - 1)]
            if not stem or (ending and len(stem) < 3):
                continue
            pattern = rf"(?<!\w){re.escape(stem)}" + (r"\w{0,3}" if ending else "") + r"(?!\w)"
            found = list(re.finditer(pattern, text, re.IGNORECASE))
            if len(found) == 1:
                start, end = found[0].span()
                if tail and text.startswith(tail, end):
                    end += len(tail)
                return start, end
    return None
