"""Texts cut into sentences without loss: joined, they are the text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from genkit.text.abbreviations import PLAIN, rules
from genkit.text.spans import Role, Span

__all__ = ["split_sentences"]

# These always part what stands on either side of them: a table keeps its columns.
_SEPARATOR = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_BAR = re.compile(r"\s*\|[\s|]*")
# Without one of these inside, a text is one sentence.
_INNER_END = re.compile(r"[^\w\s,;:&+/'’–—-]\s+\S|[。！？｡]|\w[.!?…]+[\"'’”»)\]]*[^\W\d_a-z]")
_WIDE_END = "。！？｡”」』"
_SPACES = {ord(char): " " for char in map(chr, range(0x3001)) if char.isspace()}
# "I am tired.Good night.": a stop between a word and a capital, where no space stands. A word
# with a stop of its own (node.js.Then) is a name; so is one of capitals (ASP.NET).
_JOINT = re.compile(
    r"(?<![.\w])[^\W\d_]*[^\W\d_A-Z]{2}(?:[.]|[!?…]+[.!?]*|[.]{2,})[\"'’”»)\]]*"
    r"(?=[\"'‘“«(\[]?(?:[^\W\d_a-z][^\W\d_A-Z]+(?:[\s,;:!?'’-]|[.](?:\s|\Z)|\Z)|[AI][\s'’]))"
)
_BRACKETED = re.compile(r"[.!?…][\"'’”»)\]]+\s+(?=[\"'‘“«(\[¿¡]*[^\W\d_a-z])")
# Who speaks next, on the same line: "- Yes. - No."
_DASHED = re.compile("[.!?…][\"'’”»)\\]]*\\s+(?=[-–—]\\s+[\"'‘“«(\\[¿¡]*[^\\W\\d_a-z])")
# The name of who speaks, or what kind of message it is.
_LABEL = re.compile(r"\W{0,8}[A-ZÀ-Þ][A-ZÀ-Þ .'’-]{1,24}:\s+(?=\S)")
_AFTER_SPAN = re.compile("[.!?…]+[\"'’”»)\\]]*\\s+(?=[\"'‘“«(\\[]*[^\\W\\d_a-z])")


def split_sentences(text: str, language: str, spans: Sequence[Span] = ()) -> list[str]:
    """Cut a text into sentences, each with the white space after it: joined, they are the text.

    ``language`` is an ISO 639 code. A sentence ends before white space (or after a full-width
    mark, or a stop with a capital after it), and at every tab and line break, at the bars of a
    table row, and on either side of a span whose role is to break. No other span is cut.
    """
    cuts = sorted({cut for cut in _cuts(text, language, spans) if 0 < cut < len(text)})
    if spans:
        cuts = [cut for cut in cuts if not _inside(cut, spans)]
    return [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]


def _inside(cut: int, spans: Sequence[Span]) -> bool:
    before = bisect_right(spans, cut, key=lambda span: span.start) - 1
    return before >= 0 and spans[before].start < cut < spans[before].end


def _cuts(text: str, language: str, spans: Sequence[Span]) -> Iterator[int]:
    parts = [0]
    parts += [match.end() for match in _SEPARATOR.finditer(text)]
    if (label := _LABEL.match(text)) and not text.isupper():
        parts.append(label.end())
    if "|" in text and (text.lstrip().startswith("|") or " | " in text):
        parts += [match.end() for match in _BAR.finditer(text)]
    for span in spans:
        if span.role is Role.BREAK:
            parts += [span.start, span.end]
    parts = [*sorted(parts), len(text)]
    yield from parts
    for a, b in pairwise(parts):
        piece = text[a:b]
        if _INNER_END.search(piece):
            inner = [span.moved(-a) for span in spans if a <= span.start < b]
            for cut in _segment(piece, language, inner):
                yield a + cut


def _segment(text: str, language: str, spans: Sequence[Span]) -> Iterator[int]:
    # Not at the top: most short inputs never come here.
    import sentencex  # type: ignore[import-untyped]

    joints = [m.end() for m in _JOINT.finditer(text) if not _inside(m.end(), spans)]
    spaced = " ".join(text[a:b] for a, b in pairwise([0, *joints, len(text)]))
    # Other white space than the plain space makes the library cut inside a character, and
    # panic; the lengths it finds are those of the original, so that is what is cut.
    spaced = spaced.translate(_SPACES)
    rule = rules(language)
    end = 0
    cuts = {match.end() for marks in (_BRACKETED, _DASHED) for match in marks.finditer(spaced)}
    cuts |= {joint + i + 1 for i, joint in enumerate(joints) if text[joint - 1] in "!?…"}
    for segment in sentencex.segment(language, spaced):
        end += len(segment)
        if segment[-1] == " " or segment[-1] in _WIDE_END:
            cuts.add(end)
    if rule is not PLAIN:
        cuts = {cut for cut in cuts if not rule.goes_on(spaced, cut)}
        cuts |= set(rule.ends(spaced))
    if not joints:
        cuts |= {
            match.end()
            for span in spans
            if not span.copied and (match := _AFTER_SPAN.match(spaced, span.end))
        }
    spaces = [joint + i for i, joint in enumerate(joints)]
    for cut in cuts:
        yield cut - bisect_right(spaces, cut - 1)
