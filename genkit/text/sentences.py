"""Texts cut into sentences without loss: joined, they are the text."""

from __future__ import annotations

import re

__all__ = ["split_sentences"]

# These always part what stands on either side of them: a table keeps its columns.
_SEPARATOR = re.compile("([\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+)")
# Without one of these inside, a text is one sentence.
_INNER_END = re.compile(r"[^\w\s,;:&+/'’–—-]\s+\S|[。！？｡]")
_WIDE_END = "。！？｡”」』"
_SPACES = {ord(char): " " for char in map(chr, range(0x3001)) if char.isspace()}


def split_sentences(text: str, language: str) -> list[str]:
    """Cut a text into sentences, each with the white space after it: joined, they are the text.

    ``language`` is an ISO 639 code. A sentence ends before white space (or after a full-width
    mark), and at every tab and line break.
    """
    sentences: list[str] = []
    for piece in _SEPARATOR.split(text):
        if sentences and piece and _SEPARATOR.match(piece):
            sentences[-1] += piece
        elif piece:
            sentences += _segment(piece, language) if _INNER_END.search(piece) else [piece]
    return sentences


def _segment(text: str, language: str) -> list[str]:
    # Not at the top: most short inputs never come here.
    import sentencex  # type: ignore[import-untyped]

    # Other white space than the plain space makes the library cut inside a character, and
    # panic; the lengths it finds are those of the original, so that is what is cut.
    segments = sentencex.segment(language, text.translate(_SPACES))
    sentences, start, end = [], 0, 0
    for segment in segments:
        end += len(segment)
        if segment[-1] == " " or segment[-1] in _WIDE_END:
            sentences.append(text[start:end])
            start = end
    if start < len(text):
        sentences.append(text[start:])
    return sentences
