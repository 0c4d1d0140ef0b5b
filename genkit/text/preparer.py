"""Makes plans: cuts a text into what is kept and what is translated, and what to try next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from genkit.text.faithful import is_watched, split_at_marks
from genkit.text.frame import core
from genkit.text.pairs import find_pairs
from genkit.text.sentences import split_sentences
from genkit.text.spans import Role, Span, is_plain
from genkit.text.spelling import Case, calm, case_of, has_letter, normalise, sentence_case
from genkit.text.stand_ins import DEFAULT_FAMILIES, Rendered, render
from genkit.text.units import Inner, Plan, Segments, Unit

__all__ = ["Preparer"]

MOST_PAIRS = 6
# A stop inside a sentence, at which models end it: what follows would be lost.
_HOURS = re.compile(r"\b([ap])\.\s?m\.(?=,? [a-z])")


class Preparer:
    """Makes plans for a model: ``known`` tells whether a small word is one that it was taught."""

    def __init__(
        self,
        language: str,
        known: Callable[[str], bool],
        families: Iterable[str] | None = None,
    ) -> None:
        self._language = language
        self._known = known
        self._families = tuple(DEFAULT_FAMILIES if families is None else families)[:2]

    def plan(self, text: str, spans: Sequence[Span] = (), *, acronyms: bool = True) -> Plan:
        """Cut a text into its sentences, and each into what is kept and what is translated.

        With ``acronyms``, these come back as they are.
        """
        if not spans and is_plain(text):
            return [Unit(text)]
        plan: Plan = []
        position = 0
        for piece in split_sentences(text, self._language, spans):
            end = position + len(piece)
            inner = [s.moved(-position) for s in spans if position <= s.start < end]
            plan += self._sentence(piece, inner, acronyms)
            position = end
        return plan

    def retry(self, unit: Unit) -> Plan:
        """What is translated in place of a unit whose spans did not come back."""
        for attempt in range(unit.attempt + 1, 2 * len(self._families)):
            again = self._attempt(unit.source, unit.case, attempt)
            if again is not None and (unit.rendered is None or again.text != unit.text):
                again.prefix = unit.prefix
                again.is_part = unit.is_part
                return [again]
        return self._around(unit)

    def shorter(self, unit: Unit, cut: Callable[[str], list[str]]) -> Plan:
        """The parts of a unit that is too long, as ``cut`` cuts its text; or itself, if it cannot
        be cut.
        """
        segments: Segments = unit.source or (unit.text,)
        flat = ""
        spans: list[Span] = []
        for segment in segments:
            if isinstance(segment, str):
                flat += segment
            else:
                spans.append(segment._replace(start=len(flat), end=len(flat) + len(segment.text)))
                flat += segment.text
        # Spans are cut out of the way by letters that stand for them; none is cut itself.
        masked, offsets = _masked(flat, spans)
        plan: Plan = []
        start = end = 0
        pieces = cut(masked)
        if len(pieces) < 2:
            return [unit]
        for piece in pieces:
            end += len(piece)
            a, b = offsets[start], offsets[end]
            inner = [s.moved(-a) for s in spans if a <= s.start < b]
            part = self._part(flat[a:b], inner, unit.case)
            for found in part:
                if isinstance(found, Unit):
                    found.is_part = True
            plan += part
            start = end
        return plan

    def _sentence(self, piece: str, spans: Sequence[Span], acronyms: bool) -> Plan:
        start, end = core(piece, spans)
        if start >= end:
            return [piece]
        inner = [s.moved(-start) for s in spans if start <= s.start and s.end <= end]
        plan = self._core(piece[start:end], inner, acronyms)
        return [part for part in (piece[:start], *plan, piece[end:]) if part != ""]

    def _core(self, text: str, spans: Sequence[Span], acronyms: bool) -> Plan:
        segments = tuple(normalise(s) if isinstance(s, str) else s for s in _segments(text, spans))
        if self._language == "en":
            segments = tuple(_HOURS.sub(r"\1m", s) if isinstance(s, str) else s for s in segments)
        words = "".join(segment for segment in segments if isinstance(segment, str))
        if not has_letter(words):
            return [text]
        case = case_of(words, self._language)
        if _is_formula(words):
            return [text]
        if case is Case.CAPITALS and acronyms and not self._is_shouted(words):
            return [text]
        if case is not Case.CAPITALS and acronyms:
            segments = tuple(self._calmed(segments))
            if not any(isinstance(s, str) and has_letter(s) for s in segments):
                return [text]
        usual = self._unit(segments, Case.USUAL)
        if case is Case.USUAL:
            return usual
        other = self._unit(self._in_sentence_case(segments), case)
        if case is Case.TITLE and len(usual) == len(other) == 1:
            first, second = usual[0], other[0]
            if isinstance(first, Unit) and isinstance(second, Unit):
                second.rival = first
                first.is_rival = True
        return other

    def _part(self, text: str, spans: Sequence[Span], case: Case) -> Plan:
        """A part of a sentence whose spelling was looked after already."""
        core_text = text.strip()
        if not core_text:
            return [text]
        start = text.index(core_text)
        end = start + len(core_text)
        segments = _segments(core_text, [s.moved(-start) for s in spans])
        if not any(isinstance(s, str) and has_letter(s) for s in segments):
            return ["".join(s if isinstance(s, str) else s.text for s in _segments(text, spans))]
        return [text[:start], *self._unit(segments, case), text[end:]]

    def _unit(self, segments: Segments, case: Case) -> Plan:
        if case is Case.USUAL and (paired := self._paired(segments)):
            return [paired]
        if all(isinstance(segment, str) for segment in segments):
            text = "".join(map(str, segments))
            return [Unit(text, segments, _rendered(text, case), case)]
        for attempt in range(2 * len(self._families)):
            unit = self._attempt(segments, case, attempt)
            if unit is not None:
                return [unit]
        return self._around(Unit("", segments, None, case))

    def _attempt(self, segments: Segments, case: Case, attempt: int) -> Unit | None:
        """The first try has stand-ins of the first family, and leaves in place what models copy
        by themselves; then all have stand-ins; then the next family has its turn.
        """
        if not segments or not self._families:
            return None
        family = self._families[attempt // 2]
        keep = attempt % 2 == 0 and case is not Case.CAPITALS
        rendered = render(segments, family, keep_copied=keep)
        if rendered is None:
            return None
        return Unit(rendered.text, segments, rendered, case, attempt)

    def _paired(self, segments: Segments) -> Unit | None:
        """The sentence without its pairs of marks, and what stands between them."""
        pairs = find_pairs(segments)
        if not pairs or len(pairs) > MOST_PAIRS:
            return None
        marks = {place for pair in pairs for place in pair}
        inner = []
        for pair in pairs:
            between = tuple(
                segment
                for i, segment in enumerate(segments[: pair.closing])
                if i > pair.opening and i not in marks
            )
            found = self._inner(_flat(between))
            if found is None:
                return None
            opening, closing = segments[pair.opening], segments[pair.closing]
            assert not isinstance(opening, str) and not isinstance(closing, str)
            inner.append(Inner(opening, closing, *found))
        bare = _flat([segment for i, segment in enumerate(segments) if i not in marks])
        plan = self._unit(bare, Case.USUAL)
        if len(plan) != 1 or not isinstance(plan[0], Unit):
            return None
        unit = plan[0]
        rendered = unit.rendered or Rendered(unit.text, None, (), (), (), unit.text)
        return Unit(unit.text, segments, rendered, attempt=-1, inner=tuple(inner))

    def _inner(self, segments: Segments) -> tuple[Unit | None, str, str] | None:
        if len(segments) == 1 and not isinstance(segments[0], str):
            return None, segments[0].text, ""
        if not segments or not all(isinstance(segment, str) for segment in segments):
            return None
        text = "".join(map(str, segments))
        start, end = core(text, ())
        if not has_letter(text[start:end]):
            return None
        words = text[start:end]
        unit = Unit(words, (words,), Rendered(words, None, (), (), ()), is_inner=True)
        return unit, words, text[end:]

    def _around(self, unit: Unit) -> Plan:
        """What stands between the spans, each by itself: no span can be lost."""
        plan: Plan = []
        prefix = unit.prefix
        for segment in _at_marks(unit.source):
            if not isinstance(segment, str):
                plan.append(segment.text)
                continue
            start, end = core(segment, ())
            text = normalise(segment[start:end])
            if not has_letter(text):
                plan.append(segment)
                continue
            rendered = None if unit.case is Case.USUAL else Rendered(text, None, (), (), ())
            plan += [segment[:start], Unit(text, (text,), rendered, unit.case), segment[end:]]
            part = plan[-2]
            assert isinstance(part, Unit)
            part.prefix, prefix = prefix, ()
            part.is_part = True
        return [part for part in plan if part != ""]

    def _is_shouted(self, words: str) -> bool:
        """Whether capitals are those of a sentence or of a word, not of an acronym."""
        found = words.split()
        if len(found) > 1 or words.rstrip(".!?")[-1:] != words[-1:] or len(words) > 6:
            return True
        word = words.strip()
        if word in ("OK",):
            return False
        return not word.isascii() or self._known(word.lower())

    def _calmed(self, segments: Segments) -> Iterator[str | Span]:
        for segment in segments:
            if not isinstance(segment, str):
                yield segment
                continue
            for text, acronym in calm(segment, self._known):
                yield Span(0, len(text), text, Role.NOUN, copied=True) if acronym else text

    def _in_sentence_case(self, segments: Segments) -> Segments:
        first = True
        changed: list[str | Span] = []
        for segment in segments:
            if isinstance(segment, str) and has_letter(segment):
                segment = sentence_case(segment, self._language, first=first)
                first = False
            changed.append(segment)
        return tuple(changed)


def _is_formula(words: str) -> bool:
    """Whether there are but single capitals: ``A + B = C``."""
    names = "".join(char if char.isalpha() else " " for char in words).split()
    return len(names) > 1 and all(len(name) == 1 and "A" <= name <= "Z" for name in names)


def _rendered(text: str, case: Case) -> Rendered | None:
    """What checks the translation of a text without spans; None if there is nothing to check."""
    if case is Case.USUAL and not is_watched(text):
        return None
    return Rendered(text, None, (), (), (), text)


def _at_marks(segments: Segments) -> Iterator[str | Span]:
    """Segments cut at brackets too."""
    for segment in segments:
        if isinstance(segment, str):
            yield from split_at_marks(segment)
        else:
            yield segment


def _flat(segments: Iterable[str | Span]) -> Segments:
    """Segments of which no two strings follow each other."""
    flat: list[str | Span] = []
    for segment in segments:
        if flat and isinstance(segment, str) and isinstance(flat[-1], str):
            flat[-1] += segment
        else:
            flat.append(segment)
    return tuple(flat)


def _segments(text: str, spans: Sequence[Span]) -> Segments:
    segments: list[str | Span] = []
    end = 0
    for span in spans:
        if end < span.start:
            segments.append(text[end : span.start])
        segments.append(span)
        end = span.end
    if end < len(text):
        segments.append(text[end:])
    return tuple(segments)


def _masked(text: str, spans: Sequence[Span]) -> tuple[str, list[int]]:
    """A text whose guarded spans are two letters each, and where its characters were."""
    masked: list[str] = []
    offsets: list[int] = []
    end = 0
    for span in spans:
        if span.copied:
            continue
        masked.append(text[end : span.start])
        offsets += range(end, span.start)
        masked.append("XX")
        offsets += [span.start, span.start]
        end = span.end
    masked.append(text[end:])
    offsets += range(end, len(text) + 1)
    return "".join(masked), offsets
