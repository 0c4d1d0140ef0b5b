"""Spans of a text that are no language, and have to come back as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from genkit.errors import UsageError
from genkit.text.kinds import KINDS, Role

__all__ = ["Role", "Span", "compile_patterns", "find_spans", "is_plain"]


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text, which are ``text``."""

    start: int
    end: int
    text: str
    role: Role = Role.NOUN
    copied: bool = False
    """Left in place at first, for models mostly copy it."""
    side: int = 0
    """Of a mark that has a partner: 1 if it opens, -1 if it closes."""

    def moved(self, by: int) -> Span:
        """The same in a text that begins elsewhere."""
        return self._replace(start=self.start + by, end=self.end + by)


# Words of small letters, perhaps with a capital, and the marks of a sentence: most of what
# there is to translate. Nothing in it is a span, and nothing stands around it.
_WORD = "[A-ZÀ-ÖØ-Þ]?[a-zß-öø-ÿ]+|[A-ZÀ-ÖØ-Þ]"
_PLAIN = re.compile(rf"(?:{_WORD})(?:(?:, |[ '’-])(?:{_WORD}))*[.!?]?")
_TITLE = re.compile("[A-ZÀ-Þ]\\S* [A-ZÀ-Þ]|[A-ZÀ-Þ]{2}|[A-ZÀ-Þ]\\Z")


def is_plain(text: str) -> bool:
    """Whether a text is a sentence in which there is nothing to look after."""
    return _PLAIN.fullmatch(text) is not None and _TITLE.match(text) is None


@cache
def _suspect() -> re.Pattern[str]:
    """Without one of these no pattern of the table matches."""
    return re.compile(
        r"[0-9_@#$%&*<>{}\[\]/\\|~`=^\x00-\x08\x0b\x0e-\x1f]|\w[.]\w|[a-z][A-Z]|[A-Z]\+|\B[.:]\w|--\w|\s-\w"
        r"|\w(?:::|->)\w|\(\)|\s\+\s|[A-Za-z]\+\w|(?:Ctrl|Control|Alt|Shift|Cmd|Command|Option|Win|Meta|Super|Fn|Strg)-|[:;=]['’]?-?[)(DPpOo3]|[A-Z]\. [A-Z]\.|-_-|[€£¥§¶©®±¹²³¼-¾×÷†‡\u0370-\u1fff⁰-\ud7ff\ue000-\U0010ffff]"
    )


# Letters of other scripts than Latin, with what is written between their words. Compatibility
# forms of Latin letters are not among them.
_LETTER = "[\u0370-\u058f\u0590-\u05ff\u0600-\u1cff\u1f00-\u1fff\u2c00-\u2c5f\u2e80-\ua71f\ua800-\uaaff\uac00-\ufaff\ufb1d-\ufdff\ufe70-\ufefe\uff65-\uffdc\U00010000-\U0001cfff\U00020000-\U0003ffff]"


@cache
def _foreign() -> re.Pattern[str]:
    """Words in other scripts than Latin."""
    return re.compile(rf"{_LETTER}+(?:[\u200c\u200d\u0300-\u036f ]*{_LETTER}+)*")


_GAP = re.compile("[ \u00a0\u202f]{0,2}")
_MARKUP = re.compile(r"[^\w{%$`@#&/\\.]|\W+\Z")


@cache
def _pattern() -> re.Pattern[str]:
    """All kinds in one; the number of the group is the place in the table."""
    return re.compile("|".join(f"({kind.pattern})" for kind in KINDS))


@lru_cache(maxsize=64)
def compile_patterns(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Further kinds. Raises UsageError for what is no regular expression."""
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(f"{pattern!r} is no regular expression: {error}") from error
    return tuple(compiled)


def find_spans(
    text: str,
    given: Iterable[tuple[int, int]] = (),
    patterns: Sequence[re.Pattern[str]] = (),
    *,
    kinds: bool = True,
    latin: bool = False,
) -> list[Span]:
    """The spans of a text, in order; none of them touches another.

    ``given`` and what ``patterns`` match come first; then, if ``kinds``, those of the table, and,
    in a text of a language in Latin letters, words in others.
    Raises UsageError for a given range that does not lie in the text.
    """
    own = _given(text, given, patterns)
    found = list(own)
    if kinds and _suspect().search(text):
        for begin, stop in _windows(text):
            for match in _pattern().finditer(text, begin, stop):
                kind = KINDS[(match.lastindex or 1) - 1]
                start, end = match.span()
                if start < end:
                    found.append(_span(text, start, end, kind.role, kind.copied))
        if latin:
            found += [_span(text, *m.span(), Role.NOUN) for m in _foreign().finditer(text)]
    return _joined(text, found) if found else []


WINDOW = 3000
"""Characters, and what follows up to a space: some kinds take time by the square of the length."""
_SPACE = re.compile(r"\s")


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Ranges of a long text that are looked at one by one."""
    start = 0
    while len(text) - start > WINDOW:
        space = _SPACE.search(text, start + WINDOW, start + 2 * WINDOW)
        end = space.start() if space else start + WINDOW
        yield start, end
        start = end
    yield start, len(text)


_OPENS = re.compile(r"(?:<[A-Za-z](?:[^<>]*[^<>/])?>)+|!?\[|\x1b\[[\d;]*[1-9]m")
_CLOSES = re.compile(r"(?:</[^<>]*>)+|\]\(.*\)|\]\[.*\]|\x1b\[0?m", re.DOTALL)
_EITHER = re.compile(r"[*_~=^+`'\"|$]+")


def _span(text: str, start: int, end: int, role: Role, copied: bool = False) -> Span:
    found = text[start:end]
    side = 0
    if role is Role.MARK and not copied:
        if _OPENS.fullmatch(found):
            side = 1
        elif _CLOSES.fullmatch(found):
            side = -1
        elif _EITHER.fullmatch(found):
            # It opens what begins after it, and closes what ends before it.
            opens = end < len(text) and not text[end].isspace()
            closes = start > 0 and not text[start - 1].isspace()
            if opens and closes:
                opens = not text[start - 1].isalnum() and text[start - 1] not in ".!?"
                closes = not opens
            side = int(opens) - int(closes)
    return Span(start, end, found, role, copied, side)


def _given(
    text: str, given: Iterable[tuple[int, int]], patterns: Sequence[re.Pattern[str]]
) -> list[Span]:
    ranges = []
    for start, end in given:
        if not 0 <= start <= end <= len(text):
            raise UsageError(f"span {start} to {end} is not within a text of {len(text)}")
        ranges.append((start, end))
    for pattern in patterns:
        ranges += [match.span() for match in pattern.finditer(text)]
    return [
        _span(text, start, end, Role.MARK if _is_markup(text[start:end]) else Role.NOUN)
        for start, end in ranges
        if start < end
    ]


def _is_markup(text: str) -> bool:
    """Whether a span that somebody else has found is likelier a tag than a name."""
    return _MARKUP.match(text) is not None


def _joined(text: str, spans: list[Span]) -> list[Span]:
    """One span in place of those that overlap, touch, or have but a space between them."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        span = _widened(text, span)
        if joined and _belong_together(text, joined[-1], span):
            last = joined.pop()
            roles = {last.role, span.role}
            role = next(role for role in (Role.BREAK, Role.NOUN, Role.MARK) if role in roles)
            end = max(last.end, span.end)
            joined.append(_span(text, last.start, end, role, last.copied and span.copied))
        else:
            joined.append(span)
    return joined


def _belong_together(text: str, last: Span, span: Span) -> bool:
    if span.start < last.end:
        return True
    if last.role is Role.MARK and span.role is Role.MARK:
        return span.start == last.end and last.side == span.side
    if span.start == last.end:
        return True
    return (
        last.role == span.role
        and not (last.copied or span.copied)
        and _GAP.fullmatch(text, last.end, span.start) is not None
    )


def _widened(text: str, span: Span) -> Span:
    """With the letters and digits that are glued to a placeholder: ``{n}px``."""
    if span.role is not Role.NOUN:
        return span
    start, end = span.start, span.end
    while start and text[start - 1].isascii() and (text[start - 1].isalnum()):
        start -= 1
    while end < len(text) and text[end].isascii() and text[end].isalnum():
        end += 1
    if (start, end) == span[:2]:
        return span
    return _span(text, start, end, span.role, span.copied)
