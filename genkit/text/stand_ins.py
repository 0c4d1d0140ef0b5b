"""Stand-ins: what a model reads in place of a span, and copies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from genkit.text.faithful import has_kept_marks
from genkit.text.spans import Role, Span
from genkit.text.spelling import has_letter

__all__ = ["DEFAULT_FAMILIES", "FAMILIES", "Rendered", "render"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "at": tuple(f"@{i}" for i in range(1, 10)),
    "hash": tuple(f"#{i}" for i in range(1, 10)),
    "letters": tuple(f"X{letter}" for letter in "ABCDEFGHK"),
    "x": tuple(f"X{i}" for i in range(1, 10)),
    "greek": tuple("ΩΔΣΠΦΨΘΛΞ"),
    "flags": ("🇦🇹", "🇧🇷", "🇨🇦", "🇩🇰", "🇪🇪", "🇫🇮", "🇬🇷", "🇭🇺", "🇮🇸"),
}
"""Name -> the strings that are used, in order. Which a model copies, its card says."""
DEFAULT_FAMILIES = ("letters", "hash")
"""Those of a model that was not measured."""
_PARTS = {
    "at": "@",
    "hash": "#",
    "flags": "[\U0001f1e6-\U0001f1ff]",
    "greek": f"[{''.join(FAMILIES['greek'])}]",
}
"""What is left of a stand-in that was copied badly."""
_ALIKE = {"at": r"@\d+", "hash": r"#\d+", "letters": r"X[A-Z]\b", "x": r"X\d+"}


@cache
def _alike(family: str) -> re.Pattern[str]:
    """What looks like a stand-in of a family."""
    pattern = _ALIKE.get(family)
    if pattern is None:
        return re.compile("|".join(map(re.escape, FAMILIES[family])))
    return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W\d_])")


@dataclass(frozen=True)
class Rendered:
    """A sentence as a model reads it, and what it takes to undo that."""

    text: str
    family: str | None
    guarded: tuple[tuple[Span, bool, bool], ...]
    """The spans with a stand-in, in order, and whether each is glued to what is before, after."""
    copied: tuple[str, ...]
    """The spans that were left in place."""
    pairs: tuple[bool, ...]
    """Whether there are words between each guarded span and the next."""
    rest: str | None = None
    """The text but for the stand-ins, whose marks have to come back; None if they need not."""

    def undo(self, text: str) -> list[str | Span] | None:
        """A translation cut at its spans, or None if not all of them came back as they should."""
        parts: list[str | Span] = []
        if self.family is None or not self.guarded:
            parts.append(text)
        else:
            found = list(_alike(self.family).finditer(text))
            names = [match[0] for match in found]
            own = FAMILIES[self.family][: len(self.guarded)]
            if sorted(names) != sorted(own):
                return None
            order = [own.index(name) for name in names]
            if not self._is_sensible(order, text, found):
                return None
            end = 0
            for match, index in zip(found, order, strict=True):
                span, before, after = self.guarded[index]
                gap = text[end : match.start()]
                parts.append(gap.rstrip() if before else gap)
                parts.append(span)
                end = match.end()
                if after:
                    end += len(text[end:]) - len(text[end:].lstrip())
            parts.append(text[end:])
            pattern = _PARTS.get(self.family)
            if (
                pattern
                and not re.search(pattern, self.rest or "")
                and any(isinstance(part, str) and re.search(pattern, part) for part in parts)
            ):
                return None
        words = "\n".join(part for part in parts if isinstance(part, str))
        if not self._has_copied(words):
            return None
        if self.rest is not None and not has_kept_marks(self.rest, words):
            return None
        return parts

    def _is_sensible(self, order: Sequence[int], text: str, found: Sequence[re.Match[str]]) -> bool:
        """Marks come in the order of the source, with words between them where it has some."""
        marks = [i for i in order if self.guarded[i][0].role is not Role.NOUN]
        if marks != sorted(marks):
            return False
        if marks and not self._has_edges(marks, order, text, found):
            return False
        for (i, a), (j, b) in pairwise(zip(order, found, strict=True)):
            are_pair = i in marks and j in marks and j == i + 1 and self.pairs[i]
            if are_pair and not has_letter(text[a.end() : b.start()]):
                return False
        return True

    def _has_edges(
        self,
        marks: Sequence[int],
        order: Sequence[int],
        text: str,
        found: Sequence[re.Match[str]],
    ) -> bool:
        """Whether words stand before the first mark, and after the last, where the source has them."""
        family = _alike(self.family or "")
        source = list(family.finditer(self.text))
        first, last = marks[0], marks[-1]
        return all(
            has_letter(family.sub("", there)) or not has_letter(family.sub("", here))
            for here, there in (
                (self.text[: source[first].start()], text[: found[order.index(first)].start()]),
                (self.text[source[last].end() :], text[found[order.index(last)].end() :]),
            )
        )

    def _has_copied(self, rest: str) -> bool:
        if not self.copied:
            return True
        wanted: dict[str, int] = {}
        for span in self.copied:
            wanted[span] = wanted.get(span, 0) + 1
        return all(len(re.findall(_whole(span), rest)) == count for span, count in wanted.items())


def _whole(span: str) -> str:
    """A pattern of a span that is no part of a longer word or number."""
    begin = r"(?<![\w@#])(?<!\d[.,:])" if span[0].isalnum() or span[0] in "#@" else ""
    end = r"(?![\w])(?![.,:]\d)" if span[-1].isalnum() else ""
    return begin + re.escape(span) + end


def render(
    segments: Sequence[str | Span], family: str | None, *, keep_copied: bool
) -> Rendered | None:
    """A sentence with stand-ins of a family for its spans: None if there are too many of them, or
    if the text has some that look alike.

    With ``keep_copied``, spans that models copy by themselves are left in place.
    """
    names = FAMILIES[family] if family else ()
    guarded: list[tuple[Span, bool, bool]] = []
    copied: list[str] = []
    text = rest = ""
    pairs: list[bool] = []
    glue = False
    for i, segment in enumerate(segments):
        if isinstance(segment, str):
            if glue and segment and not segment[0].isspace():
                if guarded and segment[0].isalnum():
                    text += " "
                    guarded[-1] = (*guarded[-1][:2], True)
                elif (
                    guarded and guarded[-1][0].role is not Role.NOUN and segment[0] not in ".,;:!?)"
                ):
                    guarded[-1] = (*guarded[-1][:2], True)
            glue = False
            if pairs:
                pairs[-1] = pairs[-1] or has_letter(segment)
            text += segment
            rest += segment
        elif segment.copied and keep_copied:
            copied.append(segment.text)
            text += segment.text
            rest += segment.text
            glue = False
            if pairs:
                pairs[-1] = True
        else:
            if len(guarded) == len(names):
                return None
            before = bool(i and text and not text[-1].isspace())
            if before and (text[-1].isalnum() or glue or segment.role is not Role.NOUN):
                text += " " if text[-1] not in "(\"'“„«[" else ""
            else:
                before = False
            text += names[len(guarded)]
            guarded.append((segment, before, False))
            pairs.append(False)
            glue = True
    if family and guarded and _alike(family).search(rest):
        return None
    return Rendered(text, family, tuple(guarded), tuple(copied), tuple(pairs), rest)
